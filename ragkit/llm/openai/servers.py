"""The servers that ragkit knows: what each takes, and what holds there.

Sources: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
https://docs.sglang.io/docs/advanced_features/structured_outputs.md,
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md,
https://docs.ollama.com/api/openai-compatibility,
https://platform.openai.com/docs/api-reference/chat
"""

import functools
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import ClassVar

from pydantic import BaseModel

from ragkit.core.errors import ContextExceeded
from ragkit.core.protocols import CallOptions
from ragkit.core.types import Conversation, Delta, Json, Message
from ragkit.grammar.gbnf import gbnf
from ragkit.llm.messages import messages_of
from ragkit.llm.openai.client import NOTHING, ChatServer
from ragkit.llm.openai.errors import UnsupportedFieldError
from ragkit.llm.openai.grammar_server import GrammarServer, template_tokens, text_of
from ragkit.llm.openai.schema_server import SchemaServer
from ragkit.llm.openai.wire import ModelBody, TokenizedBody, turns

logger = logging.getLogger(__name__)

_OF_PROMPT = ("chat_template", "chat_template_kwargs", "add_special_tokens")
"""Further fields that change the prompt, which counting takes as well."""
_ALL = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "n")
_OF_OPENAI = ("max_tokens", "temperature", "top_p", "seed", "n")
_OF_OLLAMA = ("max_tokens", "temperature", "top_p", "seed")
_OPENAI_CONTEXT = 32_768
"""Tokens of context that are counted on where a server does not say: every model of OpenAI's since
2024 has more. A longer prompt is refused by the server itself."""
_OPENAI_URL = "https://api.openai.com"
_OLLAMA_URL = "http://127.0.0.1:11434"
_OLLAMA_BYTES_PER_TOKEN = 4


def _same(names: tuple[str, ...]) -> Mapping[str, str]:
    return {name: name for name in names}


class VLLM(GrammarServer):
    """A model on a vLLM server, from 0.21 on."""

    provider = "vllm"
    fields = _same(_ALL)
    remedy = "use vLLM 0.21 or later"

    async def count_tokens(self, messages: Conversation) -> int:
        """Count the tokens of a prompt with its chat template; see `GrammarServer`."""
        served = await self._ask_model()
        body: dict[str, Json] = {
            "model": served.id,
            "messages": turns(messages_of(messages)),
            "add_generation_prompt": True,
            **{name: self._extra[name] for name in _OF_PROMPT if name in self._extra},
        }
        content = await self._connection.fetch("POST", "/tokenize", body)
        return self._read(TokenizedBody, content).count

    def _under(self, ebnf: str) -> Mapping[str, Json]:
        return {"structured_outputs": {"grammar": ebnf}}


class SGLang(GrammarServer):
    """A model on an SGLang server with the grammar back end xgrammar (default) or llguidance."""

    provider = "sglang"
    fields = _same(_ALL)
    remedy = "start it with --grammar-backend xgrammar"

    async def count_tokens(self, messages: Conversation) -> int:
        """Count the tokens of a prompt, with an upper bound for the chat template."""
        served = await self._ask_model()
        body: dict[str, Json] = {
            "model": served.id,
            "prompt": text_of(messages),
            "add_special_tokens": False,
        }
        content = await self._connection.fetch("POST", "/tokenize", body)
        return self._read(TokenizedBody, content).count + template_tokens(messages)

    def _under(self, ebnf: str) -> Mapping[str, Json]:
        return {"ebnf": ebnf}


class SlotBody(BaseModel):
    """The settings of a slot of llama.cpp's server."""

    n_ctx: int


class PropsBody(BaseModel):
    """The properties of llama.cpp's server."""

    default_generation_settings: SlotBody


class TemplatedBody(BaseModel):
    """A conversation as the chat template writes it."""

    prompt: str


class TokensBody(BaseModel):
    """The tokens of a text."""

    tokens: list[int]


class LlamaCpp(GrammarServer):
    """A model on llama.cpp's server, `llama-server`."""

    provider = "llamacpp"
    fields: ClassVar[Mapping[str, str]] = {
        **_same(_ALL[:-1]),
        "repetition_penalty": "repeat_penalty",
    }
    """Without `n`, of which it takes as many as it has slots."""
    remedy = "update llama.cpp"

    async def count_tokens(self, messages: Conversation) -> int:
        """Count the tokens of a prompt with its chat template; see `GrammarServer`."""
        asked: dict[str, Json] = {
            "messages": turns(messages_of(messages)),
            **{name: self._extra[name] for name in _OF_PROMPT if name in self._extra},
        }
        content = await self._connection.fetch("POST", "/apply-template", asked)
        prompt = self._read(TemplatedBody, content).prompt
        body: dict[str, Json] = {"content": prompt, "add_special": True, "parse_special": True}
        content = await self._connection.fetch("POST", "/tokenize", body)
        return len(self._read(TokensBody, content).tokens)

    def _under(self, ebnf: str) -> Mapping[str, Json]:
        return {"grammar": _gbnf(ebnf)}

    async def _find_context(self, served: ModelBody) -> int | None:
        content = await self._connection.fetch("GET", "/props")
        return self._read(PropsBody, content).default_generation_settings.n_ctx


_gbnf = functools.lru_cache(maxsize=64)(gbnf)


class LoadedBody(BaseModel):
    """A model that Ollama has loaded."""

    name: str
    context_length: int | None = None


class LoadedModelsBody(BaseModel):
    """The models that Ollama has loaded."""

    models: list[LoadedBody] = []


class Ollama(SchemaServer):
    """A model on an Ollama server.

    Ollama cuts prompts that are longer than its context without saying so; prompts that are
    estimated to be are refused before they are sent.
    """

    provider = "ollama"
    fields = _same(_OF_OLLAMA)

    async def _find_context(self, served: ModelBody) -> int | None:
        """Load the model and ask for the context that it was loaded with."""
        body: dict[str, Json] = {"model": served.id, "stream": False}
        await self._connection.fetch("POST", "/api/generate", body)
        content = await self._connection.fetch("GET", "/api/ps")
        loaded = self._read(LoadedModelsBody, content).models
        return next((one.context_length for one in loaded if one.name == served.id), None)

    async def _longest(self) -> int:
        """Return the context: a model that runs away would not end otherwise."""
        return await self.context_tokens()

    def _is_chosen(self, served: str) -> bool:
        return self._name in {None, served, served.removesuffix(":latest")}

    async def _check_size(self, messages: tuple[Message, ...]) -> None:
        estimated = len(text_of(messages).encode()) // _OLLAMA_BYTES_PER_TOKEN
        context = await self.context_tokens()
        if estimated > context:
            raise ContextExceeded(
                f"The prompt has about {estimated} tokens, and {self.base_url} would cut it to its "
                f"context of {context} without saying so. Fix: shorten it, or raise "
                "OLLAMA_CONTEXT_LENGTH."
            )


class OpenAI(SchemaServer):
    """A model of OpenAI's API, or of another server that speaks it.

    Options that a model does not take, such as the temperature of reasoning models, are left out
    from then on, with a warning in the log.
    """

    provider = "openai"
    fields = _same(_OF_OPENAI)
    strict = True
    _renamed: ClassVar[Mapping[str, str]] = {"max_tokens": "max_completion_tokens"}
    _optional: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p"})
    _known: Mapping[str, str] = fields

    def _field_names(self) -> Mapping[str, str]:
        return self._known

    async def _find_model(self) -> ModelBody:
        """Take the name as it is: the list of models is long, and some servers have none."""
        return ModelBody(id=self._name) if self._name else await super()._find_model()

    async def _find_context(self, served: ModelBody) -> int | None:
        return served.max_model_len or _OPENAI_CONTEXT

    async def _decode(
        self,
        messages: tuple[Message, ...],
        options: CallOptions,
        *,
        held: Mapping[str, Json] = NOTHING,
        extra: Mapping[str, Json] | None = None,
    ) -> AsyncGenerator[Delta]:
        while True:
            tried = self._known
            decoded = super()._decode(messages, options, held=held, extra=extra)
            try:
                async with aclosing(decoded) as deltas:
                    async for delta in deltas:
                        yield delta
            except UnsupportedFieldError as error:  # raised before anything is decoded
                if self._known is tried:
                    self._known = self._without(error)
            else:
                return

    def _without(self, error: UnsupportedFieldError) -> Mapping[str, str]:
        """Return the fields without the one that the model does not take.

        Raises:
            UnsupportedFieldError: It cannot be done without.
        """
        name = next((name for name, field in self._known.items() if field == error.field), "")
        if self._known.get(name) == name and name in self._renamed:
            return {**self._known, name: self._renamed[name]}
        if name not in self._optional:
            raise error
        logger.warning("%s is sent no %s from now on: %s", self.model, name, error)
        return {known: field for known, field in self._known.items() if known != name}


SERVERS: Mapping[str, type[ChatServer]] = {
    kind.provider: kind for kind in (VLLM, SGLang, LlamaCpp, Ollama, OpenAI)
}
DEFAULT_URLS: Mapping[str, str] = {"openai": _OPENAI_URL, "ollama": _OLLAMA_URL}
"""Where the server is that is named by its model alone."""
