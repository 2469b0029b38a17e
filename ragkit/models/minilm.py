"""`MiniLMEncoder`: the packaged all-MiniLM-L6-v2 on ONNX Runtime.

Source: Wang et al. 2020, https://arxiv.org/abs/2002.10957; fine-tuned by the sentence-transformers
project. The graph (`training/embedder_graph.py`) takes its weights from the published safetensors
file, and its vectors equal those of sentence-transformers in float32; neither torch nor
transformers is imported for queries and small ingestions. Bulk work goes to
sentence-transformers, which is 1.4 times as fast in float32 and 3.5 times in bfloat16
(`benchmarks/embedding.py`).
"""

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.embedding import ModelFacts, task_prompts
from ragkit.models.onnx_session import onnx_session
from ragkit.models.packaged import MINILM, MINILM_GRAPH, verified_folder, verified_weights
from ragkit.models.sentence_transformer import SentenceTransformerEncoder
from ragkit.models.tokens import ModelTokenizer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

_BATCH_TOKENS = 2048
_BULK_CALL = 16_000
"""Characters of a call that counts as bulk work; what a question embeds is less."""
_BULK_TOTAL = 80_000
"""Characters of bulk work after which importing torch (about 7 s of one core) pays off."""


class MiniLMEncoder:
    """The network, loaded on first use; one forward pass at a time."""

    def __init__(self, settings: EmbedderSettings) -> None:
        """Use the prompts of the settings; nothing is loaded yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._bulk_characters = 0

    def __reduce__(self) -> tuple[type[Self], tuple[EmbedderSettings]]:
        """Be pickled without the network, which the other process loads itself."""
        return type(self), (self._settings,)

    def facts(self) -> ModelFacts:
        """Return the model's facts, without loading the network.

        Raises:
            ConfigError: The weights are missing or not the published ones.
        """
        prompts = task_prompts(self._settings, {})
        return ModelFacts(
            name=MINILM.name,
            revision=MINILM.sha256[:16],
            dimensions=MINILM.dimensions,
            prompts=prompts,
            tokenizer=ModelTokenizer(
                verified_folder(MINILM) / "tokenizer.json",
                model_max_tokens=MINILM.max_tokens,
                prompt=prompts["passage"],
            ),
        )

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        """See `Encoder.encode`."""
        if self._is_bulk(texts):
            return self._torch.encode(texts, prompt=prompt)
        with self._lock:
            encoded = self._tokenizer.encode_batch([prompt + text for text in texts])
            vectors = np.empty((len(texts), MINILM.dimensions), dtype=np.float32)
            for batch in _batches(encoded):
                vectors[batch] = self._forward([encoded[at].ids for at in batch])
        return vectors

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]], *, prompt: str
    ) -> FloatArray:
        """See `SpanEncoder.encode_spans`; the packaged graph gives no vectors of tokens."""
        return self._torch.encode_spans(texts, spans, prompt=prompt)

    def _is_bulk(self, texts: Sequence[str]) -> bool:
        if self._settings.device not in {None, "cpu"} or self._settings.dtype == "bfloat16":
            return True
        characters = sum(map(len, texts))
        if characters < _BULK_CALL:
            return False
        self._bulk_characters += characters
        installed = importlib.util.find_spec("sentence_transformers") is not None
        return installed and self._bulk_characters > _BULK_TOTAL

    def _forward(self, texts: Sequence[list[int]]) -> FloatArray:
        ids = np.zeros((len(texts), max(map(len, texts))), dtype=np.int32)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        given = {"input_ids": ids, "attention_mask": mask}
        (found,) = self._session.run(["embeddings"], given)
        return np.asarray(found, np.float32)

    @cached_property
    def _torch(self) -> SentenceTransformerEncoder:
        return SentenceTransformerEncoder(str(verified_folder(MINILM)), self._settings)

    @cached_property
    def _session(self) -> "InferenceSession":
        return onnx_session(verified_weights(MINILM_GRAPH), weights=verified_folder(MINILM))

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        file = verified_folder(MINILM) / "tokenizer.json"
        tokenizer: Any = Tokenizer.from_file(str(file))  # its arguments are untyped
        tokenizer.no_padding()
        tokenizer.enable_truncation(MINILM.max_tokens)
        made: Tokenizer = tokenizer
        return made


def _batches(encoded: "Sequence[Encoding]") -> Iterator[list[int]]:
    """Yield positions of texts of similar length, so that little is padded."""
    batch: list[int] = []
    for at in sorted(range(len(encoded)), key=lambda item: len(encoded[item].ids)):
        if batch and (len(batch) + 1) * len(encoded[at].ids) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
