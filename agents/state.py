"""The state of an agent's graph, in plain values that any checkpointer can keep, and its nodes.

Texts are kept once, by their hash, however many prompts they are part of; arguments and values of
tools are JSON texts, so that every number and key fits a checkpointer's format.
"""

import functools
import hashlib
import json
import operator
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields
from typing import Annotated, Any, Literal, Required, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    RemoveMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.delta import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    DeltaChannel,
)
from langgraph.channels.ephemeral_value import (  # pyright: ignore[reportMissingTypeStubs]
    EphemeralValue,
)
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    REMOVE_ALL_MESSAGES,
)
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from ragkit.agents.budget import Amount, Spent
from ragkit.core.sync import run_sync
from ragkit.core.types import Citation, Guarantee, Json, Message, Role, stable_id

StoppedBy: TypeAlias = Literal[
    "finished", "steps", "tokens", "seconds", "cost", "context", "repeats", "model", "length",
    "approval",
]  # fmt: skip
"""The reason why a run ended: it answered; a limit was reached; the prompt did not fit the model's
context; a call gave the same result repeatedly; the model failed; the answer reached its limit of
tokens and ends early; or it waits for a person."""

CallStatus: TypeAlias = Literal["ready", "ask", "done"]


def with_messages(before: Sequence[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Return the messages with those written: a message of a known id replaces the earlier one.

    Dictionaries, tuples and strings become messages. A message without an id gets one that follows
    from its place and content, so that replayed writes give the same messages.
    """
    given: list[Any] = []
    for write in writes:
        given += write if isinstance(write, list) else [] if write is None else [write]
    after: dict[str, AnyMessage] = {str(message.id): message for message in before}
    for message in convert_to_messages(given):
        if isinstance(message, RemoveMessage):
            if message.id == REMOVE_ALL_MESSAGES:
                after.clear()
            else:
                after.pop(str(message.id), None)
            continue
        if message.id is None:
            name = stable_id(len(after), message.type, clean(str(message.text)))
            message = message.model_copy(update={"id": name})  # ids are its own
        after[str(message.id)] = message  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]  # no chunks are written
    return list(after.values())


class Inherited(TypedDict):
    """The values that an agent receives from the agent that hands a task to it."""

    run: str
    path: str
    fence: str
    tainted: bool
    limits: dict[str, float]
    background: list[list[str]]


class AgentInput(TypedDict, total=False):
    """The input of a graph: messages, the latest of the user being the question, or a question.

    Of `messages`, a node writes and a checkpoint keeps only the new ones.
    """

    messages: Annotated[list[AnyMessage], DeltaChannel(with_messages)]
    question: Annotated[str, EphemeralValue]


class Record(TypedDict, total=False):
    """One step of the trace, its texts by hash."""

    id: Required[str]
    kind: Required[Literal["model", "tool", "note"]]
    name: Required[str]
    prompt: list[list[str]]
    reply: str
    usage: list[int]
    estimated: bool
    seconds: float
    arguments: str
    edited: bool
    result: str
    failed: bool
    error: str
    guarantee: Guarantee
    citations: list[dict[str, Any]]


class AgentCall(TypedDict, total=False):
    """A tool call in progress: `id` is its step, `reason` why a person is asked.

    `edited` says that a person changed the arguments.
    """

    id: Required[str]
    tool: Required[str]
    arguments: Required[str]
    status: Required[CallStatus]
    reason: str
    problem: str
    refused: str
    edited: bool
    tainted: bool
    result: str
    value: str
    failed: bool
    notice: str


class MadeCall(TypedDict):
    """A call that was made in a task of its own: its outcome by its id."""

    id: str
    outcome: dict[str, Any]


class AgentOutput(TypedDict, total=False):
    """The output of a graph: the messages with those of the run, and its answer."""

    messages: Annotated[list[AnyMessage], DeltaChannel(with_messages)]
    answer: str
    citations: list[dict[str, Any]]
    structured_response: Any
    stopped_by: StoppedBy


def _with_texts(before: dict[str, str], writes: Sequence[dict[str, str]]) -> dict[str, str]:
    after = dict(before)
    for write in writes:
        after.update(write)
    return after


def _with_records(before: list[Record], writes: Sequence[list[Record]]) -> list[Record]:
    return [*before, *(record for write in writes for record in write)]


class RunRecord(AgentOutput, total=False):
    """The output of a graph with the records of the run, which are private to ragkit.

    Of `trace` and `texts`, a node writes and a checkpoint keeps only what is new. `ended_by` is the
    call that ended a loop, by `name`, `text` and `step`.
    """

    trace: Annotated[list[Record], DeltaChannel(_with_records)]
    texts: Annotated[dict[str, str], DeltaChannel(_with_texts)]
    spent: Spent
    ended_by: dict[str, str]


class AgentState(AgentInput, RunRecord, total=False):
    """The state that all agents keep between two nodes.

    `asked` is the question and `asked_id` the id of its message. `run` names the run for good,
    `path` is the step of the parent agent, `fence` the mark around untrusted text, and `tainted`
    says whether such text was in the context of this thread. `prompt` are the messages that the
    model gets, and `made` the outcomes of calls that ran at the same time.
    """

    asked: str
    asked_id: str
    inherited: Inherited | None
    run: str
    path: str
    fence: str
    tainted: bool
    ordinal: int
    prompt: list[list[str]]
    calls: list[AgentCall]
    made: Annotated[list[MadeCall], operator.add]
    chosen: list[str]


PUBLIC = tuple(AgentOutput.__annotations__)
"""The channels that every client of a graph sees."""

RECORD = tuple(RunRecord.__annotations__)
"""The channels of a run's record."""


Update: TypeAlias = dict[str, Any]
"""The changes that a node makes: LangGraph merges them into the state."""


def changed(state: Mapping[str, object], changes: Update) -> Update:
    """Return the changes that the state does not hold already; each costs a checkpoint some time.

    A list or dictionary that is not empty always counts: a node may have changed it in place.
    """
    held: dict[str, object] = {**state, "texts": {}, "trace": []}  # nodes write what is new
    return {
        name: value
        for name, value in changes.items()
        if (value and isinstance(value, dict | list)) or name not in held or held[name] != value
    }


def digest(text: str) -> str:
    """Return the name of a text, a hash of it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clean(text: str) -> str:
    """Return the text with characters replaced that UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def dumped(value: object) -> str:
    """Return a value as compact JSON; a value that JSON cannot represent becomes a string."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (ValueError, RecursionError, TypeError):
        text = json.dumps(repr(value)[:1000], ensure_ascii=False)
    return clean(text)


def loaded(text: str) -> Json:
    """Return the value of a JSON text that `dumped` wrote."""
    return cast("Json", json.loads(text))


def arguments_of(call: AgentCall) -> dict[str, Json]:
    """Return the arguments of a call."""
    return cast("dict[str, Json]", loaded(call.get("arguments", "{}")))


def waits(state: AgentState) -> bool:
    """Return whether a call waits for a person."""
    return any(call["status"] == "ask" for call in state.get("calls", []))


def may_have_read(state: AgentState) -> bool:
    """Return whether a run of a thread that did not end may have read what its state does not hold.

    A run that stops within a node leaves no trace of the calls that were made there; one whose call
    waits in a node of its own has recorded them.
    """
    spent = state.get("spent")
    under_way = bool(spent and spent["steps"]) and not state.get("answer")
    return under_way and not waits(state)


def citation_of(kept: Mapping[str, Any]) -> Citation:
    """Return a citation from its form in the state."""
    given: dict[str, Any] = {**kept, "heading_path": tuple(kept.get("heading_path", ()))}
    return Citation(**given)


def message_of(role: str, text: str) -> Message:
    """Return a message from its form in the state."""
    return Message(role=cast("Role", role), content=text)


def limits_to_keep(amount: Amount) -> dict[str, float]:
    """Return the limited parts of an amount, as the state keeps them."""
    given = {field.name: float(getattr(amount, field.name)) for field in fields(amount)}
    return {name: value for name, value in given.items() if value != float("inf")}


def calls_message(
    name: str, text: str, calls: Iterable[tuple[str, str, dict[str, Any]]], *, agent: str
) -> AIMessage:
    """Return the message that makes tool calls of (id, tool, arguments)."""
    made = [
        {"type": "tool_call", "id": call, "name": tool, "args": arguments}
        for call, tool, arguments in calls
    ]
    return AIMessage(content=text, id=name, name=agent, tool_calls=made)  # pyright: ignore[reportArgumentType]  # pydantic reads them


def result_message(call: str, tool: str, text: str, *, failed: bool) -> ToolMessage:
    """Return the message with the result of a tool call."""
    status = "error" if failed else "success"
    return ToolMessage(
        content=text, id=f"{call}:result", tool_call_id=call, name=tool, status=status
    )


SYNCHRONOUS: ContextVar[bool] = ContextVar("synchronous", default=False)
"""True where a synchronous graph runs the node."""


class GraphNode(Runnable[Any, Any]):
    """A node or route of a graph: a coroutine function that also runs in a synchronous graph.

    There it runs on ragkit's background loop, with the caller's context variables.
    """

    def __init__(self, name: str, function: Callable[[Any], Awaitable[Any]]) -> None:
        """Wrap a function of the state."""
        self.name = name
        self._function = function

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002  # Runnable's
        """Run the function."""
        return await self._function(input)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002  # Runnable's
        """Run the function on the background loop."""
        token = SYNCHRONOUS.set(True)
        try:
            return run_sync(functools.partial(self.ainvoke, input))
        finally:
            SYNCHRONOUS.reset(token)
