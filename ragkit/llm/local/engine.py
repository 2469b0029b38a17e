"""A model in this process: loading, prompts, grammars and the thread that decodes."""

import importlib.util
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.core.types import Json, Message
from ragkit.grammar.compiler import compile_grammar
from ragkit.llm.openai.wire import turns

if TYPE_CHECKING:
    import xgrammar

    from ragkit.llm.local.decoding import DecodingJob, Loaded
    from ragkit.llm.local.decoding_thread import DecodingThread

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(slots=True, kw_only=True, eq=False)
class Engine:
    """Loads on first use; safe to use from any thread.

    Attributes:
        name: Folder or hub name.
        device: A torch device such as `"cuda"`; None for a GPU where the machine has one.
        dtype: Arithmetic of the forward pass.
        max_batch: Replies decoded at once.
        template: Further arguments of the chat template.
    """

    name: str
    device: str | None
    dtype: Dtype
    max_batch: int
    template: Mapping[str, Json]
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _loaded: "Loaded | None" = None
    _info: "xgrammar.TokenizerInfo | None" = None
    _worker: "DecodingThread | None" = None

    def context(self) -> int:
        """Return the positions that the model was built for."""
        return int(self.loaded().model.config.get_text_config().max_position_embeddings)

    def rendered(self, messages: Sequence[Message]) -> str:
        """Return the text that the model reads: by its chat template, or as plain paragraphs."""
        tokenizer = self.loaded().tokenizer
        if tokenizer.chat_template is None:
            return "\n\n".join(message.content for message in messages)
        text: str = tokenizer.apply_chat_template(
            turns(messages), tokenize=False, add_generation_prompt=True, **self.template
        )
        return text

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the token ids of the rendered text."""
        tokenizer = self.loaded().tokenizer
        special = tokenizer.chat_template is None
        text = self.rendered(messages)
        return [int(token) for token in tokenizer.encode(text, add_special_tokens=special)]

    def compiled(self, ebnf: str) -> "xgrammar.CompiledGrammar":
        """Compile a grammar for the model's tokenizer.

        Raises:
            InputError: The grammar is malformed, or takes too long to compile.
        """
        return compile_grammar(ebnf, self._tokenizer_info())

    def submit(self, jobs: "Sequence[DecodingJob]") -> None:
        """Queue the jobs for decoding; each emits its text, then its reply or an error."""
        from ragkit.llm.local.decoding_thread import DecodingThread

        with self._lock:
            if self._worker is None:
                self._worker = DecodingThread(self.loaded(), max_batch=self.max_batch)
            self._worker.submit(jobs)

    def close(self) -> None:
        """Drop the model and end the thread when its calls are done; later calls load it again."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._loaded = self._info = None
        if worker is not None:
            worker.close()

    def loaded(self) -> "Loaded":
        """Return the model and its tokenizer.

        Raises:
            ConfigError: The model does not exist.
            MissingExtraError: transformers or xgrammar is not installed.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self.name, self.device, self.dtype)
            return self._loaded

    def _tokenizer_info(self) -> "xgrammar.TokenizerInfo":
        import xgrammar

        loaded = self.loaded()
        with self._lock:
            if self._info is None:
                self._info = xgrammar.TokenizerInfo.from_huggingface(
                    loaded.tokenizer,
                    vocab_size=loaded.vocabulary,
                    stop_token_ids=sorted(loaded.stops),
                )
            return self._info


def _load(name: str, device: str | None, dtype: str) -> "Loaded":
    try:
        import torch
        import transformers

        from ragkit.llm.local.decoding import Loaded
    except ImportError as error:
        raise MissingExtraError(error.name or "transformers", extra="local") from error
    if importlib.util.find_spec("xgrammar") is None:  # reported before the weights are read
        raise MissingExtraError("xgrammar", extra="local")
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        untyped: Any = transformers
        tokenizer = untyped.AutoTokenizer.from_pretrained(name)
        model = untyped.AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError) as error:
        missing = "" if Path(name).exists() else " No such folder, and it cannot be downloaded."
        raise ConfigError(
            f"The model {name!r} cannot be loaded.{missing} ({error}) Fix: pass the folder of a "
            "causal language model, or a hub name that is in the cache."
        ) from error
    model.to(place).eval()
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        stops=_stops(model, tokenizer),
        vocabulary=int(model.config.get_text_config().vocab_size),
    )


def _stops(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a reply, by the generation settings and the tokenizer."""
    found: Any = model.generation_config.eos_token_id
    several: tuple[int | None, ...] = (found,) if isinstance(found, int) else tuple(found or ())
    stops = frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)
    if not stops:
        raise ConfigError(f"The model {model.name_or_path!r} has no token that ends a reply.")
    return stops
