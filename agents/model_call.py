"""One call of the model: the prompt's parts, the reserved budget, the stream and its record."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar

from ragkit.agents.budget import Grant, Limit, described, grant, settled
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.events import AnswerText, Event, Thought, Used
from ragkit.agents.journal import JournalEntry
from ragkit.agents.state import Record, StoppedBy, clean, dumped
from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.operation import Operation
from ragkit.core.protocols import CallOptions, ReplyGrammar, Tool
from ragkit.core.types import Guarantee, Message, Reply, Usage
from ragkit.grammar import Grammar, Limits
from ragkit.grammar.ebnf.expression import UNBOUNDED
from ragkit.llm.checking import InvalidReplyError
from ragkit.llm.partial_json import FieldReader, Path

T = TypeVar("T")
Show: TypeAlias = Callable[[Path, str], Event | None]
"""Makes an event of a piece of a string in a reply; free text has the empty path."""

Evidence: TypeAlias = Sequence[tuple[str, str]]
"""Labels with texts."""

TRIMMED = "\n[... trimmed ...]\n"

_LEAST_ANSWER = 16
_LEAST_OBJECT = 48
_CHARS_PER_TOKEN = 3
_SHARE_OF_CONTEXT = 3
_EARLIER_CHARS = 4000
_LEAST_EARLIER = 200
_DESCRIBED_BELOW = "described by its server, in a data mark before the question."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest(Generic[T]):
    """A call of the model that is still to be made.

    Attributes:
        name: The prompt's name, for the trace.
        messages: The conversation.
        max_tokens: Tokens of the reply at most.
        grammar: The grammar of the reply; None for free text.
        final: Whether the call may use the part of the budget that is held back for the answer.
        show: Makes events of the reply as it comes.
        samples: Number of replies.
        decoding: Options beside the agent's own.
        continues: The step whose text the reply continues; empty where it begins one.
    """

    name: str
    messages: Sequence[Message]
    max_tokens: int
    grammar: ReplyGrammar[T] | None = None
    final: bool = False
    show: Show | None = None
    samples: int = 1
    decoding: CallOptions = field(default_factory=CallOptions)
    continues: str = ""


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
        cut: Whether the reply ended at its limit of tokens.
        bytes_per_token: The bytes that its tokens stood for.
        limits: The limits that the reply was decoded under.
    """

    step: str = ""
    value: T | None = None
    text: str = ""
    stopped_by: StoppedBy | None = None
    problem: str = ""
    alternatives: tuple[str, ...] = ()
    cut: bool = False
    bytes_per_token: float = 1.0
    limits: Limits | None = None


async def call_model(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    """Make one call of the model within the rest of the budget, and record it in the turn."""
    with Operation(kind="agent step", name=request.name) as operation:
        said = await _called(turn, request)
        operation.facts["step"] = said.step
        operation.facts["failed"] = bool(said.problem)
        if said.stopped_by is not None:
            operation.facts["stopped_by"] = said.stopped_by
    return said


async def _called(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    price, step = turn.context.price, turn.next_step()
    for hook in turn.context.hooks:
        changed = list(await hook.before_model(step, request.messages))
        request = replace(request, messages=changed)
    estimated = turn.context.count_tokens(list(request.messages))
    granted = _grant(turn, request, estimated)
    if not isinstance(granted, Grant):
        return ModelReply(stopped_by=granted)
    if await _count_interrupted(turn, f"{step}:{request.name}", estimated, granted):
        granted = _grant(turn, request, estimated)
        if not isinstance(granted, Grant):
            return ModelReply(stopped_by=granted)
    call = _ModelCall(turn=turn, request=request, granted=granted, step=step, estimated=estimated)
    await call.make()
    usage = call.usage()
    turn.spent = settled(turn.spent, usage, estimated=estimated, seconds=call.seconds, price=price)
    turn.spent["steps"] += call.calls - 1
    for hook in turn.context.hooks:
        await hook.after_model(step, call.text, usage)
    said = call.read()
    record = Record(
        id=said.step,
        kind="model",
        name=request.name,
        prompt=turn.keep_messages(request.messages),
        reply=turn.keep(call.text),
        usage=[usage.prompt, usage.cached, usage.completion],
        seconds=call.seconds,
    )
    if said.problem:
        record["error"] = said.problem
    if call.guarantee == "schema":
        record["guarantee"] = "schema"
    turn.trace.append(record)
    spent = turn.spent
    tokens = spent["prompt"] + spent["completion"]
    turn.emit(
        Used(steps=spent["steps"], tokens=tokens, seconds=spent["seconds"], cost=spent["cost"])
    )
    return said


async def _count_interrupted(turn: AgentTurn, name: str, prompt: int, granted: Grant) -> bool:
    """Count the calls of this name that an interrupted run made; return whether there are any.

    Each counts as what was reserved for it.
    """
    journal, found = turn.journal, 0
    if journal is None:
        return False
    while await journal.begin(
        JournalEntry(key=f"{turn.run}:{name}:{found}", tool="", arguments="")
    ):
        found += 1
    for _ in range(found):
        usage = Usage(prompt=prompt, completion=granted.max_tokens)
        turn.spent = settled(
            turn.spent, usage, estimated=prompt, seconds=0.0, price=turn.context.price
        )
    return found > 0


def _grant(turn: AgentTurn, request: ModelRequest[T], estimated: int) -> Grant | Limit:
    wanted, least, count = request.max_tokens, _LEAST_ANSWER, request.samples
    if request.grammar is not None:
        wanted, least = min(wanted, request.grammar.max_tokens), _LEAST_OBJECT
    granted = grant(
        turn.left if request.final else turn.spare,
        prompt=int(estimated * turn.spent["scale"]) + 1,
        reply=wanted * count,
        price=turn.context.price,
        least=least * count,
    )
    if isinstance(granted, Grant) and count > 1:
        return replace(granted, max_tokens=granted.max_tokens // count)
    return granted


@dataclass(slots=True, kw_only=True)
class _ModelCall(Generic[T]):
    """A call while it is made; `estimated` are the tokens of its prompt."""

    turn: AgentTurn
    request: ModelRequest[T]
    granted: Grant
    step: str
    estimated: int
    reply: Reply | None = None
    text: str = ""
    seconds: float = 0.0
    stopped_by: StoppedBy | None = None
    problem: str = ""
    refused: bool = False
    cut: bool = False
    invalid: bool = False

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
        except InvalidReplyError as error:
            # The model may do better in its next turn. Each of its attempts has been paid for.
            self.reply, self.invalid = replace(error.reply, guarantee="schema"), True
            self.text, self.problem = error.reply.text, str(error)
        except ProviderError as error:
            if error.failure == "no_grammar":
                raise  # its message says which models can be used instead
            self.text = error.partial or self.text
            if self.request.grammar is not None and error.failure == "failed" and error.partial:
                self.cut = True  # a server's client gives no reply that its grammar does not take
                return
            late = error.failure == "timeout" and self.granted.timeout_s is not None
            self.stopped_by, self.problem = "seconds" if late else "model", str(error)
        finally:
            self.seconds = loop.time() - started

    async def _stream(self) -> None:
        request, context = self.request, self.turn.context
        options: CallOptions = {**context.decoding, **request.decoding}
        options["max_tokens"] = self.granted.max_tokens
        if self.granted.timeout_s is not None:
            options["timeout_s"] = self.granted.timeout_s
        if request.samples > 1:
            options["n"] = request.samples
        if request.grammar is not None and (
            context.llm.guarantee == "grammar" or not self._affords_another()
        ):
            options["strict"] = True  # one call: the agent sizes its grammars itself
        reader = FieldReader()
        stream = context.llm.stream(request.messages, grammar=request.grammar, **options)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                if delta.restart:
                    self.text, reader = "", FieldReader()
                self._show(reader, delta.text)
                self.reply = delta.reply or self.reply
        if self.reply is None:
            raise ProviderError("The stream ended without a reply.", provider=context.llm.model)
        self.text = self.reply.text
        self.cut = self.reply.finish_reason == "length"

    def _affords_another(self) -> bool:
        """Return whether the budget has room for a second call, if the reply fails its check."""
        left = self.turn.left if self.request.final else self.turn.spare
        reply = self.granted.max_tokens * self.request.samples
        prompt = int(self.estimated * self.turn.spent["scale"]) + 1
        both = grant(
            left,
            prompt=2 * prompt + reply,  # the second prompt repeats the reply
            reply=2 * reply,
            price=self.turn.context.price,
            least=2 * reply,
        )
        return left.steps >= 2 and isinstance(both, Grant)

    def _show(self, reader: FieldReader, piece: str) -> None:
        self.text += piece
        show = self.request.show
        if show is None or not piece:
            return
        free = self.request.grammar is None
        for path, text in [((), piece)] if free else reader.feed(piece):
            event = show(path, text)
            if isinstance(event, AnswerText) and self.turn.path:
                continue  # the run's answer is that of the agent above
            if event is not None:
                self.turn.emit(event)
            if isinstance(event, AnswerText):
                self.turn.stream_answer(self.request.continues or self.step, event.text)

    def usage(self) -> Usage:
        """Return the reply's own usage; without a reply, an estimate of prompt and text."""
        if self.reply is not None:
            return self.reply.usage
        if not self.text and self.refused:
            return Usage()
        if self.cut:
            return Usage(prompt=self.estimated, completion=self.granted.max_tokens)
        came = len(self.text.encode()) // 3 if self.text else 0
        return Usage(prompt=self.estimated, completion=came)

    @property
    def guarantee(self) -> Guarantee | None:
        """The hold of the grammar on the reply; None for free text."""
        if self.request.grammar is None:
            return None
        return self.reply.guarantee if self.reply else self.turn.context.llm.guarantee

    @property
    def calls(self) -> int:
        """The requests that the reply took: 2 where it was asked for again."""
        return self.reply.calls if self.reply else 1

    def read(self) -> ModelReply[T]:
        """Return the reply, read by its grammar."""
        step, reply, grammar = self.step, self.reply, self.request.grammar
        if self.cut and grammar is not None:
            most = self.granted.max_tokens
            problem = f"It was cut at its limit of {most} tokens."
            each = len(self.text.encode()) / most
            return ModelReply(
                step=step, text=self.text, problem=problem, cut=True, bytes_per_token=each
            )
        if reply is None or self.invalid:
            return ModelReply(
                step=step, text=self.text, stopped_by=self.stopped_by, problem=self.problem
            )
        others = tuple(other.text for other in reply.alternatives)
        said: ModelReply[T] = ModelReply(step=step, text=reply.text, alternatives=others)
        if grammar is None:
            return replace(said, cut=self.cut)
        try:
            limits = None
            if isinstance(grammar, Grammar):
                limits = replace(grammar.limits, **(reply.limits or {}))
            return replace(said, value=grammar.parse(reply.text), limits=limits)
        except InputError as error:
            return replace(said, problem=str(error))


def show_answer(path: Path, text: str) -> Event | None:
    """Show free text, or the field `answer`, as the answer."""
    return AnswerText(text=text) if not path or path == ("answer",) else None


def show_thoughts(step: str, *, answers: bool = True) -> Show:
    """Return a function that shows thoughts and, if `answers`, the text of `finish`."""
    tools: dict[str | int, str] = {}

    def show(path: Path, text: str) -> Event | None:
        match path:
            case ("thought",):
                return Thought(step=step, text=text)
            case ("calls", index, "tool"):
                tools[index] = tools.get(index, "") + text
            case ("calls", index, "arguments", "answer") if (
                answers and tools.get(index) == "finish"
            ):
                return AnswerText(text=text)
            case _:
                pass
        return None

    return show


async def first_question(turn: AgentTurn, tools: Iterable[Tool]) -> Message:
    """Return the question as an agent is asked it first, with what is known from before."""
    room = await evidence_room(turn.context)
    shown = fit_evidence(turn, turn.background, tokens=room)
    return turn.context.prompts.user(
        "question",
        turns=untrusted_descriptions(turn, tools) + earlier(turn),
        background=f"Known so far:\n{shown}\n\n" if shown else "",
        fence=turn.fence,
        question=turn.question,
        left=described(turn.left),
    )


def earlier(turn: AgentTurn) -> str:
    """Return the latest messages from before the run, as a prompt shows them.

    They share the room, so that one long answer leaves the others readable: the longest are shown
    in part. Untrusted ones stand between fences.
    """
    kept: list[str] = []
    latest = turn.earlier[-(_EARLIER_CHARS // _LEAST_EARLIER) :]
    shared = shared_out([message.text for message in latest], _EARLIER_CHARS)
    for message, part in zip(latest, shared, strict=True):
        text = part
        if message.untrusted:
            label = f"answer of {message.author}" if message.author else "answer"
            text = fenced(text, fence=turn.fence, label=label)
        kept.append(f"{message.role.capitalize()}: {text}")
    return "Earlier in this conversation:\n{}\n\n".format("\n".join(kept)) if kept else ""


async def evidence_room(context: AgentContext) -> int:
    """Return the tokens that results may take in a prompt: a third of the model's context."""
    return min(context.evidence_tokens, await context.llm.context_tokens() // _SHARE_OF_CONTEXT)


def fit_evidence(turn: AgentTurn, evidence: Evidence, *, tokens: int) -> str:
    """Return evidence within its fences, trimmed to `tokens` by the agent's own count."""
    texts = [text for _, text in evidence]
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        shown = "\n".join(
            fenced(text, fence=turn.fence, label=label)
            for (label, _), text in zip(evidence, cut, strict=True)
            if text
        )
        if characters <= 0 or _count(turn.context, shown) <= tokens:
            return shown
        characters = characters * 2 // 3


def fit_texts(context: AgentContext, texts: Sequence[str], *, tokens: int) -> list[str]:
    """Return texts trimmed to `tokens` together, by the agent's own count."""
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        if characters <= 0 or _count(context, "".join(cut)) <= tokens:
            return cut
        characters = characters * 2 // 3


def _count(context: AgentContext, text: str) -> int:
    return context.count_tokens([Message(role="user", content=text)]) if text else 0


def tool_list(context: AgentContext, tools: Iterable[Tool]) -> str:
    """Return tools as a system message lists them: name, description, schema of the arguments.

    Untrusted texts about a tool are left to `untrusted_descriptions`.
    """
    listed = [
        f"- {tool.name}: {_DESCRIBED_BELOW if context.distrusts(tool) else _about(tool)}"
        for tool in tools
    ]
    return "\n".join([*listed, "", _limits_in_force(context)])


def _limits_in_force(context: AgentContext) -> str:
    most = f"A reply has at most {context.reply_tokens:,} tokens, all its calls together."
    characters = context.limits.string_length
    if characters >= UNBOUNDED:
        return most
    return f"{most} A text in it has at most {characters:,} characters."


def untrusted_descriptions(turn: AgentTurn, tools: Iterable[Tool]) -> str:
    """Return what untrusted sources say about their tools, between fences."""
    shown = [
        fenced(_about(tool), fence=turn.fence, label=f"description of {tool.name}")
        for tool in tools
        if turn.context.distrusts(tool)
    ]
    return (
        "Tools, as their servers describe them:\n{}\n\n".format("\n".join(shown)) if shown else ""
    )


def _about(tool: Tool) -> str:
    described = " ".join(tool.description.split())
    return f"{described}\n  arguments: {dumped(dict(tool.parameters))}"


def fenced(text: str, *, fence: str, label: str) -> str:
    """Return untrusted text between marks that it cannot write, since it cannot know the fence."""
    inside = clean(text).replace(fence, "")
    label = " ".join(label.replace(fence, "").split())
    return f"<data {fence} {label}>\n{inside}\n</data {fence}>"


def trimmed(text: str, characters: int) -> str:
    """Return the text's beginning and end, at most `characters` long, with a mark between them."""
    if len(text) <= characters:
        return text
    room = characters - len(TRIMMED)
    if room <= 0:
        return text[: max(0, characters)]
    head = room * 2 // 3
    tail = room - head
    return text[:head] + TRIMMED + (text[-tail:] if tail else "")


def shared_out(texts: Sequence[str], characters: int) -> list[str]:
    """Return the texts trimmed to `characters` together: the longest are cut first."""
    sizes = sorted(len(text) for text in texts)
    left, cap = characters, 0
    for position, size in enumerate(sizes):
        each = left // (len(sizes) - position)
        if size > each:
            cap = each
            break
        cap, left = size, left - size
    return [trimmed(text, cap) for text in texts]
