"""`ChatServer`: a client of an OpenAI-compatible server that streams and measures each call."""

import asyncio
import json
import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.protocols import CallOptions
from ragkit.core.types import Alternative, Delta, Json, Message, Reply
from ragkit.llm.call import Call, StreamedLLM, all_or_none
from ragkit.llm.messages import estimated_text_tokens, estimated_tokens, messages_of
from ragkit.llm.openai.connection import Connection, Patience
from ragkit.llm.openai.errors import broken, failed_inside, too_slow
from ragkit.llm.openai.stream import Assembly
from ragkit.llm.openai.wire import ChunkBody, ModelBody, ModelsBody, request_body
from ragkit.llm.options import checked_options
from ragkit.llm.wrappers.cost import charged

logger = logging.getLogger(__name__)

NOTHING: Mapping[str, Json] = MappingProxyType({})

Body = TypeVar("Body", bound=BaseModel)


class ChatServer(StreamedLLM):
    """A model on an OpenAI-compatible server.

    On first use it reads which models are served. May be used from any number of tasks, threads
    and event loops at once.

    Attributes:
        provider: The kind of server, as settings and errors name it.
        fields: The server's names of the options that are numbers. Others are refused; without
            `n`, several replies are as many calls.
    """

    fields: ClassVar[Mapping[str, str]]

    def __init__(  # noqa: PLR0913  # one argument for each setting of a server
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        extra: Mapping[str, Json] = NOTHING,
        reasoning_tokens: int = 0,
        context: int | None = None,
    ) -> None:
        """Configure; it connects on first use.

        Args:
            base_url: The server's URL, such as `http://127.0.0.1:8000`, with or without `/v1`.
            model: The model's name on the server; the first served one if None.
            api_key: Sent as a bearer token.
            patience: The time limits of a call.
            extra: Further fields of each request, such as
                `{"chat_template_kwargs": {"enable_thinking": False}}`.
            reasoning_tokens: Tokens that a reasoning model may use before a reply under a grammar,
                besides those of the reply.
            context: Tokens of prompt and reply together, for a server that does not report them.

        Raises:
            ConfigError: `base_url` is not a URL.
        """
        self._connection = Connection(
            base_url,
            provider=self.provider,
            api_key=api_key,
            patience=patience or Patience(),
        )
        self._name = model
        self._extra = extra
        self._reasoning = reasoning_tokens
        self._context = context
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._served: ModelBody | None = None
        self._estimates = False

    @property
    def base_url(self) -> str:
        """The server's URL, without `/v1`."""
        return self._connection.url

    @property
    def model(self) -> str:
        """The model's name; empty until the server reported it, where none was chosen."""
        return self._name or (self._served.id if self._served else "")

    async def model_name(self) -> str:
        """Return the model's name; the server is asked for it where none was chosen."""
        return self._name or (await self._ask_model()).id

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the further fields of each request."""
        return self._extra

    async def context_tokens(self) -> int:
        """Return the tokens that prompt and reply have together, as the server reports them.

        Raises:
            ProviderError: The server does not answer, or does not report it.
        """
        if self._context is None:
            self._context = await self._find_context(await self._ask_model())
        if self._context is None:
            raise ProviderError(
                f"{self.base_url} does not report the context length of {self.model!r}. "
                "Fix: set llm.context_tokens.",
                provider=self.provider,
            )
        return self._context

    async def ready(self, *, timeout_s: float = 300.0) -> None:
        """Wait until the server answers.

        Raises:
            ProviderError: It does not answer in that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._answers():  # noqa: ASYNC110  # a server sends no event
                    await asyncio.sleep(0.5)
        except TimeoutError as error:
            raise too_slow(self._connection.at, timeout_s, stalled=False) from error

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the reply of the server."""
        messages = messages_of(call.messages)
        self._check(checked_options(call.options, grammar=call.grammar), call)
        deadline = call.deadline()
        await self._ask_model()
        count = call.options.get("n", 1)
        alone = count > 1 and self._splits(call)
        async with aclosing(self._replied(messages, _one_of(call, 0) if alone else call)) as deltas:
            async for delta in deltas:
                if alone and delta.reply is not None:
                    rest = call.within(deadline)
                    calls = [self.reply(_one_of(rest, place)) for place in range(1, count)]
                    yield Delta(text="", reply=_joined(delta.reply, await all_or_none(calls)))
                else:
                    yield delta

    async def close(self) -> None:
        """Close the connections that this event loop opened."""
        await self._connection.close()

    @abstractmethod
    def _held(self, messages: tuple[Message, ...], call: Call) -> AsyncGenerator[Delta]:
        """Stream a reply that is held to the call's grammar."""

    async def _find_context(self, served: ModelBody) -> int | None:
        """Return the tokens of the server's context, None where it does not say."""
        return served.max_model_len

    def _splits(self, call: Call) -> bool:
        """Return whether several replies are as many calls."""
        return "n" not in self.fields

    def _replied(self, messages: tuple[Message, ...], call: Call) -> AsyncGenerator[Delta]:
        if call.grammar is None:
            return self._decode(messages, call.options)
        return self._held(messages, call)

    def _check(self, options: CallOptions, call: Call) -> None:
        if call.grammar is not None and options.get("tools"):
            raise InputError(
                "A grammar and tools exclude each other. Fix: use action_grammar, or tools alone."
            )
        numbers = set(_NUMBERS) - self.fields.keys()
        if unknown := sorted(numbers & options.keys()):
            raise InputError(
                f"{self.provider} takes no option {unknown[0]!r}. Fix: leave it out, or send the "
                "server's own field in llm.extra."
            )

    async def _decode(
        self,
        messages: tuple[Message, ...],
        options: CallOptions,
        *,
        held: Mapping[str, Json] = NOTHING,
        extra: Mapping[str, Json] | None = None,
    ) -> AsyncGenerator[Delta]:
        """Make one request."""
        await self._check_size(messages)
        now = asyncio.get_running_loop().time
        prompt = _estimated_prompt(messages, options)
        assembly = Assembly(options.get("n", 1), started=now(), prompt=prompt)
        body = request_body(
            self.model,
            messages,
            options,
            fields=self._field_names(),
            held=held,
            extra=extra or self._extra,
        )
        events = self._connection.events(
            "/v1/chat/completions",
            body,
            timeout_s=options.get("timeout_s"),
            over=lambda: assembly.over,
        )
        try:
            async with aclosing(events):
                async for data in events:
                    chunk = self._read(ChunkBody, data)
                    if chunk.error is not None:
                        raise failed_inside(chunk.error, self._connection.at)
                    if delta := assembly.add(chunk, now=now()):
                        yield delta
            if not assembly.finished:
                raise broken(self._connection.at, "it ended before the reply did")
        except ProviderError as error:
            error.partial = assembly.partial
            raise
        reply = assembly.reply(now=now())
        if reply.usage.estimated:
            self._note_estimates()
        yield Delta(text="", reply=reply)

    def _note_estimates(self) -> None:
        """Log, once, that the server reports no tokens."""
        if not self._estimates:
            self._estimates = True
            logger.warning(
                "%s reported no tokens of a reply: they are estimated, there and wherever it "
                "reports none, for budgets, rate limits and prices.",
                self.base_url,
            )

    async def _check_size(self, messages: tuple[Message, ...]) -> None:
        """Refuse a prompt that the server would cut; most servers refuse it themselves.

        Raises:
            ContextExceeded: It is too long.
        """

    def _field_names(self) -> Mapping[str, str]:
        return self.fields

    def _read(self, kind: type[Body], data: str | bytes) -> Body:
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise broken(self._connection.at, f"it sent {data[:200]!r}") from error

    async def _answers(self) -> bool:
        try:
            await self._ask_model()
        except ProviderError as error:
            if not error.retryable:
                raise
            return False
        return True

    async def _ask_model(self) -> ModelBody:
        if self._served is None:
            async with self._lock():
                self._served = self._served or await self._find_model()
        return self._served

    async def _find_model(self) -> ModelBody:
        content = await self._connection.fetch("GET", "/v1/models")
        found = self._read(ModelsBody, content).data
        chosen = next((one for one in found if self._is_chosen(one.id)), None)
        if chosen is None:
            names = ", ".join(repr(one.id) for one in found[:_SHOWN_MODELS])
            raise ConfigError(
                f"{self.base_url} does not serve {self._name!r}. Fix: use one of {names}."
            )
        return chosen

    def _is_chosen(self, served: str) -> bool:
        return self._name in {None, served}

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


_SHOWN_MODELS = 20
_NUMBERS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")


def _estimated_prompt(messages: tuple[Message, ...], options: CallOptions) -> int:
    """Estimate the tokens of a prompt and its tools, rather too high than too low."""
    tools = options.get("tools")
    described = json.dumps([dict(tool) for tool in tools]) if tools else ""
    return estimated_tokens(messages) + estimated_text_tokens(described)


def _one_of(call: Call, place: int) -> Call:
    """Return the call for one of several replies, with a seed of its own."""
    options = call.options.copy()
    options["n"] = 1
    if (seed := options.get("seed")) is not None:
        options["seed"] = seed + place
    return replace(call, messages=messages_of(call.messages), options=options)


def _joined(first: Reply, others: list[Reply]) -> Reply:
    """Return the first reply with the others as its alternatives, and what they cost."""
    alternatives = tuple(
        Alternative(text=one.text, finish_reason=one.finish_reason, logprobs=one.logprobs)
        for one in others
    )
    return replace(charged([*others, first]), alternatives=alternatives)
