"""`LocalLLM`: a transformers model in this process, decoding under xgrammar's masks."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Delta, Json, Message, Reply, Timings, Usage
from ragkit.llm.call import Call, StreamedLLM
from ragkit.llm.fitting import held
from ragkit.llm.local.engine import Dtype, Engine
from ragkit.llm.messages import messages_of
from ragkit.llm.options import checked_options, fitted

if TYPE_CHECKING:
    from ragkit.llm.local.decoding import Decoded, DecodingJob

Emitted: TypeAlias = "str | Decoded | Exception"

PROVIDER = "local"
_NOTHING: Mapping[str, Json] = MappingProxyType({})


class LocalLLM(StreamedLLM):
    """A causal language model, by folder or hub name.

    Calls that arrive together are decoded as one batch, in a thread of the LLM's own. The model is
    loaded on first use.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        dtype: Dtype = "auto",
        max_batch: int = 8,
        timeout_s: float = 600.0,
        template: Mapping[str, Json] = _NOTHING,
    ) -> None:
        """Configure; the model is loaded on first use.

        Args:
            model: Folder, or hub name.
            device: A torch device such as `"cuda"`; None for a GPU where the machine has one, else
                the CPU.
            dtype: Arithmetic of the forward pass; `auto` is what the weights are stored in.
            max_batch: Replies decoded at once; more wait.
            timeout_s: Time limit of a call, unless its options say otherwise.
            template: Further arguments of the chat template, such as `{"enable_thinking": False}`.
        """
        self._engine = Engine(
            name=str(model), device=device, dtype=dtype, max_batch=max_batch, template=template
        )
        self._timeout = timeout_s

    @property
    def model(self) -> str:
        """The folder or hub name."""
        return self._engine.name

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the arguments of the chat template."""
        return {"template": dict(self._engine.template)}

    async def context_tokens(self) -> int:
        """Return the positions that the model was built for."""
        return await asyncio.to_thread(self._engine.context)

    async def render(self, messages: Conversation) -> str:
        """Return the exact text that the model reads, with its chat template."""
        return await asyncio.to_thread(self._engine.rendered, messages_of(messages))

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Decode the reply, under a wide form of its grammar first."""
        messages = messages_of(call.messages)
        options = checked_options(call.options, grammar=call.grammar)
        if any(message.images for message in messages) or options.get("tools"):
            raise InputError(
                f"{self.model!r} in this process reads no images and has no tool calls of its own. "
                "Fix: use a server, or action_grammar for tools."
            )
        prompt, room = await asyncio.to_thread(self._prompt, messages)
        decode = functools.partial(self._decode, prompt)
        if call.grammar is None:
            limit = fitted(None, call.options.get("max_tokens"), room)[1]
            parts = decode(None, limit, call)
        else:
            parts = held(decode, call, room)
        async with aclosing(parts) as deltas:
            async for delta in deltas:
                yield delta

    async def _decode(
        self, prompt: list[int], grammar: ReplyGrammar[object] | None, limit: int, call: Call
    ) -> AsyncGenerator[Delta]:
        """Decode once, in the thread of the engine."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + call.options.get("timeout_s", self._timeout)
        arrived: asyncio.Queue[tuple[int, Emitted]] = asyncio.Queue()

        def emit(position: int, item: Emitted) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(arrived.put_nowait, (position, item))

        started = loop.time()
        jobs = await asyncio.to_thread(self._jobs, prompt, grammar, limit, call.options, emit)
        replies = _Replies(jobs, model=self.model, started=started)
        try:
            await asyncio.to_thread(self._engine.submit, jobs)
            while not replies.complete:
                async with asyncio.timeout_at(ends):
                    position, item = await arrived.get()
                if text := replies.take(position, item, now=loop.time()):
                    yield Delta(text=text)
        except TimeoutError as error:
            raise ProviderError(
                f"{self.model!r} took longer than {ends - started:g} s.",
                provider=PROVIDER,
                retryable=True,
                failure="timeout",
                partial=replies.partial,
            ) from error
        finally:
            for job in jobs:
                job.cancelled.set()
        yield Delta(text="", reply=replies.reply(now=loop.time()))

    async def close(self) -> None:
        """End the decoding thread and drop the model; a later call loads it again."""
        await asyncio.to_thread(self._engine.close)

    def _prompt(self, messages: tuple[Message, ...]) -> tuple[list[int], int]:
        """Return the tokens of a prompt, and how many it leaves of the context."""
        prompt, context = self._engine.prompt(messages), self._engine.context()
        if len(prompt) >= context:
            raise ContextExceeded(
                f"The prompt has {len(prompt)} tokens, the model's context {context}. "
                "Fix: shorten the prompt."
            )
        return prompt, context - len(prompt)

    def _jobs(
        self,
        prompt: list[int],
        grammar: ReplyGrammar[object] | None,
        limit: int,
        options: CallOptions,
        emit: Callable[[int, Emitted], None],
    ) -> "list[DecodingJob]":
        from ragkit.llm.local.decoding import DecodingJob

        compiled = None if grammar is None else self._engine.compiled(grammar.ebnf)
        return [
            DecodingJob(
                prompt=prompt,
                limit=limit,
                options=options,
                position=position,
                compiled=compiled,
                emit=functools.partial(emit, position),
            )
            for position in range(options.get("n", 1))
        ]


class _Replies:
    """The replies to the jobs of a call, as far as they are decoded."""

    def __init__(self, jobs: "Sequence[DecodingJob]", *, model: str, started: float) -> None:
        self._jobs = jobs
        self._model = model
        self._started = started
        self._done: dict[int, Decoded] = {}
        self._first: float | None = None
        self._last = started
        self.partial = ""

    @property
    def complete(self) -> bool:
        return len(self._done) == len(self._jobs)

    def take(self, position: int, item: Emitted, *, now: float) -> str:
        """Add what a job emitted; return the text that it adds to the first reply."""
        if isinstance(item, Exception):
            raise ProviderError(
                f"{self._model!r} failed while decoding: {item}", provider=PROVIDER
            ) from item
        self._first = self._first or now
        self._last = now
        if not isinstance(item, str):
            self._done[position] = item
            return ""
        if position:
            return ""
        self.partial += item
        return item

    def reply(self, *, now: float) -> Reply:
        first, *others = (self._done[position].reply for position in range(len(self._jobs)))
        tokens = sum(done.tokens for done in self._done.values())
        each = tokens // len(self._jobs)
        return Reply(
            text=first.text,
            finish_reason=first.finish_reason,
            usage=Usage(prompt=len(self._jobs[0].prompt), completion=tokens),
            timings=Timings(
                ttft_s=None if self._first is None else self._first - self._started,
                tpot_s=(self._last - (self._first or 0)) / (each - 1) if each > 1 else None,
                total_s=now - self._started,
            ),
            model=self._model,
            logprobs=first.logprobs,
            alternatives=tuple(others),
        )
