"""One call of the model: reserved, streamed, settled and recorded."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from ragkit.agents.budget import Amount, Grant, Limit, grant, settled
from ragkit.agents.events import AnswerText, Event, Thought, Used, emit
from ragkit.agents.parts import Parts
from ragkit.agents.state import Draft, Record, StoppedBy
from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Message, Reply, Usage
from ragkit.llm.partial_json import FieldReader, Path

T = TypeVar("T")
Show: TypeAlias = Callable[[Path, str], Event | None]
"""Makes an event of a piece of a string in a reply; free text has the empty path."""

_LEAST_ANSWER = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Generic[T]):
    """What a call of the model came to.

    Attributes:
        step: Its id in the trace; empty where no call was made.
        value: What the reply says; None where there is none that can be read.
        text: The reply.
        stopped_by: Why no further call makes sense, if so.
        problem: Why the reply could not be read.
    """

    step: str = ""
    value: T | None = None
    text: str = ""
    stopped_by: StoppedBy | None = None
    problem: str = ""
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[T]):
    """What to ask the model.

    Attributes:
        name: Of the prompt, for the trace.
        messages: The conversation.
        grammar: Of the reply; None for free text.
        left: What this call may take.
        reply: Tokens of the reply at most.
        show: Makes events of the reply as it comes.
        llm: Another model than the agent's.
        samples: Number of replies.
        decoding: Options beside the agent's own.
    """

    name: str
    messages: Sequence[Message]
    grammar: ReplyGrammar[T] | None = None
    left: Amount
    reply: int
    show: Show | None = None
    llm: LLM | None = None
    samples: int = 1
    decoding: CallOptions | None = None


async def ask(parts: Parts, draft: Draft, question: Question[T]) -> Said[T]:
    """Ask the model within what is left, and note in the draft what it took."""
    estimated = parts.count_tokens(list(question.messages))
    wanted = question.reply
    if question.grammar is not None:
        wanted = min(wanted, question.grammar.max_tokens)
    granted = _grant(parts, draft, question, estimated=estimated, wanted=wanted)
    if not isinstance(granted, Grant):
        return Said(stopped_by=granted)
    step = draft.next_step()
    call = _Call(parts=parts, question=question, step=step, granted=granted)
    await call.make()
    usage = call.usage(estimated)
    draft.spent = settled(
        draft.spent, usage, estimated=estimated, seconds=call.seconds, price=parts.price
    )
    record = Record(
        id=step,
        kind="model",
        name=question.name,
        prompt=draft.keep_messages(question.messages),
        reply=draft.keep(call.text),
        usage=[usage.prompt, usage.cached, usage.completion],
        seconds=call.seconds,
    )
    said = _read(question, call)
    if said.problem:
        record["error"] = said.problem
    draft.add(record)
    emit(_used(draft))
    return said


def _grant(
    parts: Parts, draft: Draft, question: Question[T], *, estimated: int, wanted: int
) -> Grant | Limit:
    prompt = int(estimated * draft.spent["scale"]) + 1
    least = 48 if question.grammar is not None else _LEAST_ANSWER
    count = question.samples
    granted = grant(
        question.left, prompt=prompt, reply=wanted * count, price=parts.price, least=least * count
    )
    if isinstance(granted, Grant) and count > 1:
        return replace(granted, max_tokens=granted.max_tokens // count)
    return granted


def _used(draft: Draft) -> Used:
    spent = draft.spent
    return Used(
        steps=spent["steps"],
        tokens=spent["prompt"] + spent["completion"],
        seconds=spent["seconds"],
        cost=spent["cost"],
    )


def _read(question: Question[T], call: "_Call[T]") -> Said[T]:
    reply, step = call.reply, call.step
    if reply is None:
        return Said(step=step, text=call.text, stopped_by=call.stopped_by, problem=call.problem)
    others = tuple(other.text for other in reply.alternatives)
    if question.grammar is None:
        return Said(step=step, text=reply.text, alternatives=others)
    try:
        value = question.grammar.parse(reply.text)
    except InputError as error:
        return Said(step=step, text=reply.text, problem=str(error), alternatives=others)
    return Said(step=step, value=value, text=reply.text, alternatives=others)


@dataclass(slots=True, kw_only=True)
class _Call(Generic[T]):
    """A call while it is made."""

    parts: Parts
    question: Question[T]
    step: str
    granted: Grant
    reply: Reply | None = None
    text: str = ""
    seconds: float = 0.0
    stopped_by: StoppedBy | None = None
    problem: str = ""
    refused: bool = False

    async def make(self) -> None:
        """Stream the reply; failures become `stopped_by` and `problem`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self.granted.timeout_s):
                await self._stream()
        except TimeoutError:
            self.stopped_by, self.problem = "seconds", "The time was over before the reply was."
        except ContextExceeded as error:
            self.stopped_by, self.problem, self.refused = "context", str(error), True
        except InputError as error:
            # The grammar has no reply that is as short as the tokens that are left.
            self.stopped_by, self.problem = self.granted.bound_by, str(error)
            self.refused = True
        except ProviderError as error:
            late = error.failure == "timeout" and self.granted.timeout_s is not None
            self.stopped_by, self.problem = "seconds" if late else "model", str(error)
            self.text = self.text or error.partial
        self.seconds = loop.time() - started

    async def _stream(self) -> None:
        question = self.question
        options: CallOptions = {**self.parts.decoding, **(question.decoding or {})}
        options["max_tokens"] = self.granted.max_tokens
        if self.granted.timeout_s is not None:
            options["timeout_s"] = self.granted.timeout_s
        if question.samples > 1:
            options["n"] = question.samples
        llm = question.llm or self.parts.llm
        reader = FieldReader()
        stream = llm.stream(question.messages, grammar=question.grammar, **options)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                self._show(reader, delta.text)
                self.reply = delta.reply or self.reply
        if self.reply is None:
            raise ProviderError("The stream ended without a reply.", provider=llm.model)
        self.text = self.reply.text

    def _show(self, reader: FieldReader, piece: str) -> None:
        self.text += piece
        show = self.question.show
        if show is None or not piece:
            return
        free = self.question.grammar is None
        for path, text in [((), piece)] if free else reader.feed(piece):
            event = show(path, text)
            if event is not None:
                emit(event)

    def usage(self, estimated: int) -> Usage:
        """The reply's own; where there is none, the prompt and what came, estimated."""
        if self.reply is not None:
            return self.reply.usage
        if not self.text and self.refused:
            return Usage()
        came = len(self.text.encode()) // 3 if self.text else 0
        return Usage(prompt=estimated, completion=came)


def show_answer(path: Path, text: str) -> Event | None:
    """Free text, or the field `answer`, as the answer."""
    return AnswerText(text=text) if not path or path == ("answer",) else None


def show_thoughts(step: str) -> Show:
    """The fields `thought`, and the answer of a call of `finish`, as they come."""
    tools: dict[str | int, str] = {}

    def show(path: Path, text: str) -> Event | None:
        match path:
            case ("thought",):
                return Thought(step=step, text=text)
            case ("calls", index, "tool"):
                tools[index] = tools.get(index, "") + text
            case ("calls", index, "arguments", "answer") if tools.get(index) == "finish":
                return AnswerText(text=text)
            case _:
                pass
        return None

    return show
