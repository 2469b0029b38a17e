"""Calls of the model: the reserved budget, the stream and its record; text that was cut goes on."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar

from ragkit.agents.budget import Grant, Limit, grant, settled
from ragkit.agents.context import AgentTurn
from ragkit.agents.events import AnswerText, Event, Noticed, Thought, Used
from ragkit.agents.hooks import messages_of_hooks
from ragkit.agents.journal import JournalEntry
from ragkit.agents.state import Record, StoppedBy
from ragkit.core.errors import ContextExceeded, InputError, ProviderError, ReplyTooLong
from ragkit.core.operation import Operation
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Message, Reply, Restart, Usage
from ragkit.grammar import Grammar, Limits
from ragkit.llm.call import Call
from ragkit.llm.checking import MOST_ATTEMPTS, InvalidReplyError
from ragkit.llm.fitting import MOST_CALLS, NOTE_TOKENS, wanted_tokens
from ragkit.llm.options import calls_at_most
from ragkit.llm.partial_json import FieldReader, Path

T = TypeVar("T")
Show: TypeAlias = Callable[[str, Path, str], Event | None]
"""Makes an event of a step and a piece of a string in its reply; free text has the empty path."""

_LEAST_ANSWER = 16
_LEAST_CONTINUED = 512
_FREE_PARTS = 4
_GO_ON = "That reply ended at its limit of tokens. Continue exactly where it ends; repeat nothing."
_LEAST_OBJECT = 48
_LEAST_TO_ASK_AGAIN = 512
"""Tokens of each call below which a reply under a grammar is held to its size in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest(Generic[T]):
    """A call of the model that is still to be made.

    Attributes:
        name: The prompt's name, for the trace.
        messages: The conversation.
        max_tokens: Tokens of the reply at most.
        grammar: The grammar of the reply; None for free text.
        least: Tokens of the reply below which no call is made.
        final: Whether the call may use the part of the budget that is held back for the answer.
        show: Makes events of the reply as it comes.
        samples: Number of replies.
        decoding: Options beside the agent's own.
        continues: The step whose text the reply continues; empty where it begins one.
        counted: Tokens that the prompt has at least, as the server counted them before.
    """

    name: str
    messages: Sequence[Message]
    max_tokens: int
    grammar: ReplyGrammar[T] | None = None
    least: int = _LEAST_ANSWER
    final: bool = False
    show: Show | None = None
    samples: int = 1
    decoding: CallOptions = field(default_factory=CallOptions)
    continues: str = ""
    counted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply(Generic[T]):
    """The outcome of a call of the model.

    Attributes:
        step: Its id in the trace; empty where no call was made.
        value: The value of the reply; None where it could not be read.
        text: The reply.
        stopped_by: Why no further call makes sense, if so.
        problem: Why the reply could not be read.
        alternatives: The texts of further samples.
        cut: Whether free text ended at its limit of tokens.
        limits: The limits that the reply was decoded under.
        tokens: Tokens of the prompt and of the reply, as the server counted them.
    """

    step: str = ""
    value: T | None = None
    text: str = ""
    stopped_by: StoppedBy | None = None
    problem: str = ""
    alternatives: tuple[str, ...] = ()
    cut: bool = False
    limits: Limits | None = None
    tokens: int = 0


async def ask(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    """Ask the model within the rest of the budget; free text that was cut is continued.

    Each call counts in the budget and is recorded in the turn. `cut` says where the text still
    ends early. Where `decoding` has `max_tokens`, no reply is longer, and none is continued.
    """
    said = await call_model(turn, request)
    text, latest = said.text, said
    for _ in range(_FREE_PARTS - 1):
        if not latest.cut or turn.context.decoding.get("max_tokens") is not None:
            break
        more = [
            *request.messages,
            Message(role="assistant", content=text),
            Message(role="user", content=_GO_ON),
        ]
        least = min(_LEAST_CONTINUED, request.max_tokens)
        # Text of a model may take far more tokens than an estimate by its length.
        counted = latest.tokens + turn.context.count_tokens(more[-1:])
        going_on = replace(
            request, messages=more, continues=said.step, least=least, counted=counted
        )
        latest = await call_model(turn, going_on)
        if not latest.text:
            return replace(said, text=text, cut=True)
        text += latest.text
    return replace(said, text=text, cut=latest.cut)


async def call_model(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    """Ask the model within the rest of the budget, and record it in the turn.

    A reply that cannot be used may be asked for again, by the model's own `held` or `checked`;
    each of these calls is a step of its own.
    """
    with Operation(kind="agent step", name=request.name) as operation:
        said = await _called(turn, request)
        operation.facts["step"] = said.step
        operation.facts["failed"] = bool(said.problem)
        if said.stopped_by is not None:
            operation.facts["stopped_by"] = said.stopped_by
    return said


async def _called(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    step = turn.next_step()
    most = turn.context.decoding.get("max_tokens") or request.max_tokens
    request = replace(
        request,
        messages=await messages_of_hooks(turn.context.hooks, step, request.messages),
        max_tokens=min(most, request.max_tokens),
    )
    estimated = turn.context.count_tokens(list(request.messages))
    granted = await _granted(turn, request, estimated)
    if not isinstance(granted, Grant):
        return ModelReply(stopped_by=granted)
    attempt = f"{step}:{request.name}"
    interrupted = await _count_interrupted(turn, attempt, estimated, granted)
    if interrupted:
        granted = await _granted(turn, request, estimated)
        if not isinstance(granted, Grant):
            return ModelReply(stopped_by=granted)
    call = _ModelCall(
        turn=turn,
        request=request,
        granted=granted,
        step=step,
        estimated=estimated,
        messages=request.messages,
        attempt=attempt,
        attempts=interrupted,
    )
    await call.make()
    said = call.read()
    await call.record(call.text, call.usage(), said.problem)
    turn.spent["steps"] += call.unseen
    return said


async def _count_interrupted(turn: AgentTurn, name: str, prompt: int, granted: Grant) -> int:
    """Count the calls of this name that an interrupted run made, and return their number.

    Each counts as what was reserved for it.
    """
    journal, found = turn.journal, 0
    if journal is None:
        return 0
    while await journal.begin(_attempt(turn, name, found)):
        found += 1
    for _ in range(found):
        usage = Usage(prompt=prompt, completion=granted.max_tokens)
        turn.spent = settled(
            turn.spent, usage, estimated=prompt, seconds=0.0, price=turn.context.price
        )
    return found


def _attempt(turn: AgentTurn, name: str, number: int) -> JournalEntry:
    return JournalEntry(key=f"{turn.run}:{name}:{number}", tool="", arguments="")


async def _granted(turn: AgentTurn, request: ModelRequest[T], estimated: int) -> Grant | Limit:
    """Return what the budget grants: as many calls as it pays for, else one that always fits."""
    left = turn.left if request.final else turn.spare
    wanted, least = request.max_tokens, request.least
    if request.grammar is not None:
        wanted = await asyncio.to_thread(wanted_tokens, _as_call(turn, request))
        least = min(_LEAST_OBJECT, request.grammar.max_tokens)
    prompt = max(request.counted, int(estimated * turn.spent["scale"])) + 1
    found: Grant | Limit = "steps"
    for calls in range(_most_calls(turn, request), 0, -1):
        if calls > max(1, left.steps):
            continue
        # A checked reply stands in the next prompt.
        repeated = calls - 1 if turn.context.llm.guarantee == "schema" else 0
        replies = calls * request.samples + repeated
        each = least if calls == 1 else min(wanted, _LEAST_TO_ASK_AGAIN)
        found = grant(
            left,
            prompt=calls * prompt + (calls - 1) * NOTE_TOKENS,
            reply=wanted * replies,
            price=turn.context.price,
            least=each * replies,
        )
        if isinstance(found, Grant):
            return replace(found, max_tokens=found.max_tokens // replies, calls=calls)
    return found


def _most_calls(turn: AgentTurn, request: ModelRequest[T]) -> int:
    if request.grammar is None:
        return 1
    usual = MOST_CALLS if turn.context.llm.guarantee == "grammar" else MOST_ATTEMPTS
    return calls_at_most({**turn.context.decoding, **request.decoding}, usual)


def _as_call(turn: AgentTurn, request: ModelRequest[T]) -> Call:
    options: CallOptions = {**turn.context.decoding, **request.decoding}
    options["max_tokens"] = request.max_tokens
    return Call(messages=request.messages, grammar=request.grammar, options=options)


@dataclass(slots=True, kw_only=True)
class _ModelCall(Generic[T]):
    """A request while it is made.

    `estimated` are the tokens of its prompt, `messages` the latest one, `attempt` the name of its
    calls in the journal, of which `attempts` were made before.
    """

    turn: AgentTurn
    request: ModelRequest[T]
    granted: Grant
    step: str
    estimated: int
    messages: Sequence[Message]
    attempt: str
    attempts: int
    reply: Reply | None = None
    text: str = ""
    began: float = 0.0
    rejected: list[Usage] = field(default_factory=list[Usage])
    stopped_by: StoppedBy | None = None
    problem: str = ""
    refused: bool = False
    invalid: bool = False

    async def make(self) -> None:
        """Stream the reply; failures become `stopped_by` and `problem`."""
        self.began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.granted.timeout_s):
                await self._stream()
        except TimeoutError:
            self.stopped_by, self.problem = "seconds", "The time was over before the reply was."
        except ContextExceeded as error:
            self.stopped_by, self.problem, self.refused = "context", str(error), True
        except ReplyTooLong as error:
            self.stopped_by, self.problem = self.granted.bound_by, str(error)
            self.refused = True
        except InvalidReplyError as error:
            # The model may do better in its next turn. Each of its attempts has been paid for.
            self.reply, self.invalid = replace(error.reply, guarantee="schema"), True
            self.text, self.problem = error.reply.text, str(error)
        except ProviderError as error:
            if error.failure == "no_grammar":
                raise  # its message says which models can be used instead
            self.text = error.partial or self.text
            late = error.failure == "timeout" and self.granted.timeout_s is not None
            self.stopped_by, self.problem = "seconds" if late else "model", str(error)

    async def _stream(self) -> None:
        request, context = self.request, self.turn.context
        options: CallOptions = {**context.decoding, **request.decoding}
        options["max_tokens"] = self.granted.max_tokens
        if self.granted.timeout_s is not None:
            options["timeout_s"] = self.granted.timeout_s
        if request.samples > 1:
            options["n"] = request.samples
        if request.grammar is not None:
            options["max_calls"] = self.granted.calls
        if context.hooks:
            options["on_restart"] = self._before_again
        reader = FieldReader()
        stream = context.llm.stream(request.messages, grammar=request.grammar, **options)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                if delta.restart:
                    await self._begin_again(delta.restart)
                    reader = FieldReader()
                self._show(reader, delta.text)
                self.reply = delta.reply or self.reply
        if self.reply is None:
            raise ProviderError("The stream ended without a reply.", provider=context.llm.model)
        self.text = self.reply.text

    async def _begin_again(self, restart: Restart) -> None:
        """Record a call whose reply is not used, and begin the next one as a step of its own."""
        self.rejected.append(restart.rejected.usage)
        self.turn.emit(Noticed(step=self.step, text=restart.reason))
        await self.record(restart.rejected.text, restart.rejected.usage, restart.reason)
        if (journal := self.turn.journal) is not None:
            number = self.attempts + len(self.rejected)
            await journal.begin(_attempt(self.turn, self.attempt, number))
        self.text, self.step = "", self.turn.next_step()
        self._ask_with(restart.messages)

    async def _before_again(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Let the hooks see the prompt of the step that has just begun."""
        self._ask_with(await messages_of_hooks(self.turn.context.hooks, self.step, messages))
        return self.messages

    def _ask_with(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.estimated = self.turn.context.count_tokens(list(messages))

    async def record(self, text: str, usage: Usage, problem: str) -> None:
        """Settle a call, and record it as a step."""
        turn, now = self.turn, asyncio.get_running_loop().time()
        seconds, self.began = now - self.began, now
        turn.spent = settled(
            turn.spent, usage, estimated=self.estimated, seconds=seconds, price=turn.context.price
        )
        for hook in turn.context.hooks:
            await hook.after_model(self.step, text, usage)
        record = Record(
            id=self.step,
            kind="model",
            name=self.request.name,
            prompt=turn.keep_messages(self.messages),
            reply=turn.keep(text),
            usage=[usage.prompt, usage.cached, usage.completion],
            seconds=seconds,
        )
        if problem:
            record["error"] = problem
        if usage.estimated:
            record["estimated"] = True
        if self._by_schema:
            record["guarantee"] = "schema"
        turn.trace.append(record)
        spent = turn.spent
        tokens = spent["prompt"] + spent["completion"]
        turn.emit(
            Used(steps=spent["steps"], tokens=tokens, seconds=spent["seconds"], cost=spent["cost"])
        )

    def _show(self, reader: FieldReader, piece: str) -> None:
        self.text += piece
        show = self.request.show
        if show is None or not piece:
            return
        free = self.request.grammar is None
        for path, text in [((), piece)] if free else reader.feed(piece):
            event = show(self.step, path, text)
            if isinstance(event, AnswerText) and self.turn.path:
                continue  # the run's answer is that of the agent above
            if event is not None:
                self.turn.emit(event)
            if isinstance(event, AnswerText):
                self.turn.stream_answer(self.request.continues or self.step, event.text)

    def usage(self) -> Usage:
        """Return the last reply's own usage; without one, an estimate of prompt and text."""
        if self.reply is not None:
            return _beside(self.reply.usage, self.rejected)
        if not self.text and self.refused:
            return Usage()
        came = len(self.text.encode()) // 3 if self.text else 0
        return Usage(prompt=self.estimated, completion=came, estimated=True)

    @property
    def unseen(self) -> int:
        """The calls of the reply, beside its last, that no restart told of, as of a wrapper."""
        calls = self.reply.calls if self.reply else 1
        return max(0, calls - 1 - len(self.rejected))

    @property
    def _by_schema(self) -> bool:
        """True where the reply is only checked by its grammar."""
        reply = self.reply or self.turn.context.llm
        return self.request.grammar is not None and reply.guarantee == "schema"

    def read(self) -> ModelReply[T]:
        """Return the reply, read by its grammar."""
        step, reply, grammar = self.step, self.reply, self.request.grammar
        if reply is None or self.invalid:
            return ModelReply(
                step=step, text=self.text, stopped_by=self.stopped_by, problem=self.problem
            )
        others = tuple(other.text for other in reply.alternatives)
        said: ModelReply[T] = ModelReply(
            step=step,
            text=reply.text,
            alternatives=others,
            tokens=reply.usage.prompt + reply.usage.completion,
        )
        if grammar is None:
            return replace(said, cut=reply.finish_reason == "length")
        try:
            limits = None
            if isinstance(grammar, Grammar):
                limits = replace(grammar.limits, **(reply.limits or {}))
            return replace(said, value=grammar.parse(reply.text), limits=limits)
        except InputError as error:
            return replace(said, problem=str(error))


def _beside(usage: Usage, rejected: Iterable[Usage]) -> Usage:
    """Return the part of a reply's usage that rejected replies do not account for."""
    rejected = list(rejected)
    return Usage(
        prompt=max(0, usage.prompt - sum(one.prompt for one in rejected)),
        cached=max(0, usage.cached - sum(one.cached for one in rejected)),
        completion=max(0, usage.completion - sum(one.completion for one in rejected)),
        estimated=usage.estimated,
    )


def show_answer(step: str, path: Path, text: str) -> Event | None:
    """Show free text, or the field `answer`, as the answer, whichever step writes it."""
    del step
    return AnswerText(text=text) if not path or path == ("answer",) else None


def show_thoughts(*, answers: bool = True) -> Show:
    """Return a function that shows thoughts and, if `answers`, the text of `finish`."""
    tools: dict[tuple[str, str | int], str] = {}

    def show(step: str, path: Path, text: str) -> Event | None:
        match path:
            case ("thought",):
                return Thought(step=step, text=text)
            case ("calls", index, "tool"):
                tools[step, index] = tools.get((step, index), "") + text
            case ("calls", index, "arguments", "answer") if (
                answers and tools.get((step, index)) == "finish"
            ):
                return AnswerText(text=text)
            case _:
                pass
        return None

    return show
