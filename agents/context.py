"""The objects that every node works with: an agent's parts, and the turn of one node."""

import re
import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, cast

from langgraph.config import get_config, get_stream_writer
from langgraph.types import Overwrite
from typing_extensions import TypeVar

from ragkit.agents.budget import (
    Amount,
    Budget,
    Price,
    Spent,
    added,
    amount_of,
    held_for_answer,
    left_of,
    minus,
    nothing_spent,
    tighter,
)
from ragkit.agents.events import Event, Noticed
from ragkit.agents.journal import Journal, MemoryJournal
from ragkit.agents.state import (
    AgentOutput,
    AgentState,
    Inherited,
    Record,
    StoppedBy,
    Update,
    clean,
    digest,
    limits_to_keep,
)
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, CallOptions, Tool
from ragkit.core.types import Conversation, Message
from ragkit.llm.messages import estimated_tokens
from ragkit.llm.prompts import prompt_file

Selector: TypeAlias = Callable[[str, Sequence[Tool]], Awaitable[Sequence[Tool]]]
"""Chooses the tools that are likely to serve a question."""

S = TypeVar("S", bound=AgentState)
S_co = TypeVar("S_co", bound=AgentState, covariant=True, default=AgentState)

_PLACE = re.compile(r"\{([a-z_]+)\}")
_NESTED = "|"
_ANSWERING = ("solve", "evidence", "untrusted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of an agent by name.

    Attributes:
        texts: Each with `{places}` to fill.
    """

    texts: Mapping[str, str]

    @classmethod
    def of(cls, names: Iterable[str], replaced: Mapping[str, str] | None = None) -> "Prompts":
        """Read the files of these names, or take the texts given instead.

        Raises:
            ConfigError: A replacement has a name that this agent does not use, or a place that
                the file does not have.
        """
        texts = {name: prompt_file("ragkit.agents", name) for name in names}
        for name, text in (replaced or {}).items():
            if name not in texts:
                known = ", ".join(sorted(texts))
                raise ConfigError(f"This agent has no prompt {name!r}; it has {known}.")
            unknown = set(_PLACE.findall(text)) - set(_PLACE.findall(texts[name]))
            if unknown:
                places = ", ".join(sorted(set(_PLACE.findall(texts[name])))) or "none"
                raise ConfigError(f"The prompt {name!r} has the places {places}, not {unknown!r}.")
            texts[name] = text
        return cls(texts=texts)

    def fill(self, name: str, **places: str) -> str:
        """Return a prompt with its places filled; the values are not searched for places."""
        return _PLACE.sub(lambda m: places.get(m[1], m[0]), self.texts[name])

    def system(self, name: str, **places: str) -> Message:
        """Return a prompt as the system message, the part that is the same in every call."""
        places = {"untrusted": self.texts.get("untrusted", ""), **places}
        return Message(role="system", content=self.fill(name, **places))

    def user(self, name: str, **places: str) -> Message:
        """Return a prompt as a message of the user."""
        return Message(role="user", content=self.fill(name, **places))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """The parts and limits that all nodes of an agent share; see `AgentOptions`.

    Attributes:
        llm: The model.
        tools: The tools by name.
        prompts: The texts of the prompts.
        budget: The limits of a run.
        reasons: Why a person is asked before a call, by the tool's name and whether untrusted text
            may have shaped the arguments; tools without a reason are missing.
        journal: The journal that was given.
        run_journal: The journal that is used where none was given.
    """

    llm: LLM
    tools: Mapping[str, Tool]
    prompts: Prompts
    budget: Budget
    reasons: Mapping[tuple[str, bool], str]
    journal: Journal | None = None
    run_journal: MemoryJournal = field(default_factory=MemoryJournal)
    trusted_tools: frozenset[str] = frozenset()
    price: Price | None = None
    count_tokens: Callable[[Conversation], int] = estimated_tokens
    reply_tokens: int = 8192
    answer_tokens: int = 1024
    evidence_tokens: int = 8000
    observation_chars: int = 16_000
    parallel: int = 8
    decoding: CallOptions = field(default_factory=CallOptions)
    select: Selector | None = None

    def turn(self, state: S) -> "AgentTurn[S]":
        """Return the turn of a node that works on this state."""
        return AgentTurn(self, state)

    def begin(self, state: S) -> "AgentTurn[S]":
        """Return the turn of a run's first node: values of an earlier question are cleared."""
        inherited = state.get("inherited")
        ordinal = state.get("ordinal", 0) + 1
        fresh: Update = {
            "run": inherited["run"] if inherited else _run_name(ordinal),
            "path": inherited["path"] if inherited else "",
            "fence": inherited["fence"] if inherited else secrets.token_hex(6),
            "tainted": bool(inherited and inherited["tainted"]),
            "ordinal": ordinal,
            "turns": state.get("turns", []),
            "trace": [],
            "texts": {},
            "spent": nothing_spent(),
            "messages": [],
            "calls": [],
            "chosen": [],
            "answer": "",
            "citations": [],
            "stopped_by": "finished",
            "ended_by": {},
        }
        return AgentTurn(self, cast("S", {**state, **fresh}), fresh)


class AgentTurn(Generic[S_co]):
    """One node at work: its view of the state and of the budget, and the update it prepares."""

    def __init__(
        self, context: AgentContext, state: S_co, fresh: Mapping[str, Any] | None = None
    ) -> None:
        """Copy the parts of the state that change; `fresh` replaces it when a run begins."""
        self.context = context
        self.texts = dict(state.get("texts", {}))
        self.trace = list(state.get("trace", []))
        self.spent: Spent = state.get("spent") or nothing_spent()
        self.path = state.get("path", "")
        self.fence = state.get("fence", "")
        self.run = state.get("run", "")
        self._state = state
        self._fresh = fresh
        self._known = frozenset(self.texts)
        self._recorded = len(self.trace)

    @property
    def state(self) -> S_co:
        """The state before this node."""
        return self._state

    @property
    def question(self) -> str:
        """The question of the run."""
        return self._state["question"]

    @property
    def tainted(self) -> bool:
        """True where untrusted text is in the context."""
        return self._state.get("tainted", False)

    @property
    def stopped_by(self) -> StoppedBy:
        """The reason to stop, or `"finished"`."""
        return self._state.get("stopped_by", "finished")

    @property
    def background(self) -> list[tuple[str, str]]:
        """Labelled texts that a parent agent passed on, each once."""
        inherited = self._state.get("inherited")
        given = inherited["background"] if inherited else []
        return [(label, text) for text, label in {text: label for label, text in given}.items()]

    @property
    def tools(self) -> list[Tool]:
        """The tools that were chosen for the question."""
        known = self.context.tools
        return [known[name] for name in self._state.get("chosen", []) if name in known]

    @property
    def journal(self) -> Journal | None:
        """The journal of tool calls; None where the run cannot be resumed and none was given."""
        if self.context.journal is not None:
            return self.context.journal
        resumable = "thread_id" in get_config().get("configurable", {})
        return self.context.run_journal if resumable else None

    @property
    def limits(self) -> Amount:
        """The limits of the run: the agent's own, and those of the agent that it works for."""
        inherited = self._state.get("inherited")
        own = amount_of(self.context.budget)
        return tighter(own, Amount(**inherited["limits"])) if inherited else own

    @property
    def left(self) -> Amount:
        """The rest of the budget."""
        return left_of(self.limits, self.spent)

    @property
    def spare(self) -> Amount:
        """The rest of the budget beside the part that is held back for the answer."""
        context = self.context
        texts = context.prompts.texts
        bare = [Message(role="system", content=texts[name]) for name in _ANSWERING if name in texts]
        prompt = context.count_tokens([*bare, Message(role="user", content=self.question)])
        limits = self.limits
        held = held_for_answer(
            limits, prompt=prompt, reply=context.answer_tokens, price=context.price
        )
        return minus(left_of(limits, self.spent), held)

    def emit(self, event: Event) -> None:
        """Pass an event to the listeners of the graph's stream."""
        get_stream_writer()(event)

    def keep(self, text: str) -> str:
        """Keep a text and return its name."""
        text = clean(text)
        name = digest(text)
        self.texts[name] = text
        return name

    def keep_messages(self, messages: Iterable[Message]) -> list[list[str]]:
        """Keep the texts of messages."""
        return [[message.role, self.keep(message.content)] for message in messages]

    def next_step(self) -> str:
        """Return the id of the next step of this agent: 1, 2, ..., after the path of its parent."""
        start = len(self.path)
        own = (r["id"][start:] for r in self.trace if r["id"].startswith(self.path))
        return f"{self.path}{sum('.' not in part and '/' not in part for part in own) + 1}"

    def note(self, name: str, text: str) -> str:
        """Record a step that the run took by itself and return its id."""
        step = self.next_step()
        self.trace.append(Record(id=step, kind="note", name=name, result=self.keep(text)))
        return step

    async def choose_tools(self) -> list[str]:
        """Return the names of the tools for this question; a note says so where they are fewer."""
        tools, select = self.context.tools, self.context.select
        if select is None:
            return list(tools)
        chosen = await select(self.question, list(tools.values()))
        names = [tool.name for tool in chosen if tool.name in tools]
        if names and len(names) < len(tools):
            text = f"{len(names)} of {len(tools)} tools were chosen: {', '.join(names)}."
            self.emit(Noticed(step=self.note("tools", text), text=text))
        return names or list(tools)

    def inherited(
        self,
        step: str,
        limits: Amount,
        *,
        tainted: bool,
        background: Iterable[tuple[str, str]] = (),
    ) -> Inherited:
        """Return the values that an agent receives whose steps stand below `step`."""
        return Inherited(
            run=self.run,
            path=f"{step}/",
            fence=self.fence,
            tainted=tainted,
            limits=limits_to_keep(limits),
            background=[[label, text] for label, text in background],
        )

    def take(self, output: AgentOutput) -> Spent:
        """Append the steps, texts and costs of an agent that worked for this one."""
        self.trace.extend(output.get("trace", []))
        self.texts.update(output.get("texts", {}))
        spent = output.get("spent") or nothing_spent()
        self.spent = added(self.spent, spent)
        return spent

    def update(self, **changes: Any) -> Update:
        """Return the update of the state: new texts and steps, the ledger, and `changes`."""
        if self._fresh is not None:
            whole = {"texts": Overwrite(self.texts), "trace": Overwrite(self.trace)}
            return {**self._fresh, **changes, **whole, "spent": self.spent}
        return {
            "texts": {name: text for name, text in self.texts.items() if name not in self._known},
            "trace": self.trace[self._recorded :],
            "spent": self.spent,
            **changes,
        }

    def end(self, text: str, stopped_by: StoppedBy) -> Update:
        """Return the update that ends a run with this answer and the citations of its results."""
        found: dict[tuple[object, ...], dict[str, Any]] = {}
        for record in self.trace:
            for citation in record.get("citations", []):
                found.setdefault(tuple(citation.values()), citation)
        return self.update(
            answer=text,
            citations=list(found.values()),
            stopped_by=stopped_by,
            turns=[*self._state.get("turns", []), [self.question, text]],
        )


def _run_name(ordinal: int) -> str:
    """Return the same name when the node runs again after a crash, another for every run."""
    given = get_config().get("configurable", {})
    thread = given.get("thread_id")
    if thread is None:
        return uuid.uuid4().hex
    place: str = given.get("checkpoint_ns", "")
    nested = digest(place)[:12] if _NESTED in place else ""
    return f"{thread}:{nested or ordinal}"
