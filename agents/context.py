"""The objects that every node works with: an agent's parts, and the turn of one node."""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, cast

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langgraph.config import get_config, get_stream_writer
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    push_message,
)
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
from ragkit.agents.handover import Handover
from ragkit.agents.hooks import Hook
from ragkit.agents.journal import Journal, MemoryJournal
from ragkit.agents.messages import (
    UNTRUSTED,
    Earlier,
    asked_in,
    earlier_messages,
    shared_messages,
    usage_metadata,
)
from ragkit.agents.state import (
    AgentCall,
    AgentState,
    Inherited,
    Record,
    RunRecord,
    StoppedBy,
    Update,
    arguments_of,
    calls_message,
    changed,
    clean,
    digest,
    dumped,
    limits_to_keep,
    may_have_read,
)
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, CallOptions, Tool
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Json, Message
from ragkit.grammar import Limits
from ragkit.grammar.ebnf.expression import UNBOUNDED
from ragkit.llm.messages import estimated_tokens
from ragkit.llm.prompts import prompt_file

Selector: TypeAlias = Callable[[str, Sequence[Tool]], Awaitable[Sequence[Tool]]]
"""Chooses the tools that are likely to serve a question."""

S = TypeVar("S", bound=AgentState)
S_co = TypeVar("S_co", bound=AgentState, covariant=True, default=AgentState)

TEXT_WITHOUT_LIMIT = Limits(string_length=UNBOUNDED)
"""The limits of replies by default: only the tokens of a reply limit its texts."""

_PLACE = re.compile(r"\{([a-z_]+)\}")
_CHECKPOINTER = "__pregel_checkpointer"  # LangGraph has no public name for it
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
        pattern: The name of the pattern.
        name: The name of the agent's graph.
        llm: The model.
        tools: The tools by name.
        prompts: The texts of the prompts.
        budget: The limits of a run.
        reasons: Why a person is asked before a call, by the tool's name and whether untrusted text
            may have shaped the arguments; tools without a reason are missing.
        journal: The journal that was given.
        run_journal: The journal that is used where none was given; it forgets a run that ends.
    """

    pattern: str
    name: str
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
    answer_tokens: int = 2048
    evidence_tokens: int = 8000
    observation_chars: int = 16_000
    parallel: int = 8
    decoding: CallOptions = field(default_factory=CallOptions)
    select: Selector | None = None
    output: ReplyGrammar[object] | None = None
    limits: Limits = TEXT_WITHOUT_LIMIT
    hooks: tuple[Hook, ...] = ()
    context_schema: type[Any] | None = None

    @property
    def final_tokens(self) -> int:
        """Tokens of the last reply at most: of the answer, or of the result of `output`."""
        if self.output is None:
            return self.answer_tokens
        return min(self.output.max_tokens, self.reply_tokens)

    def distrusts(self, tool: Tool) -> bool:
        """Return whether the texts that describe a tool are untrusted, as those of a server."""
        return bool(getattr(tool, "untrusted", False)) and tool.name not in self.trusted_tools

    @property
    def _trusts_all(self) -> bool:
        """True for an agent with tools of its own, all of them trusted."""
        return bool(self.tools) and self.tools.keys() <= self.trusted_tools

    def turn(self, state: S) -> "AgentTurn[S]":
        """Return the turn of a node that works on this state."""
        return AgentTurn(self, state)

    def begin(self, state: S) -> "AgentTurn[S]":
        """Return the turn of a run's first node: values of an earlier question are cleared.

        Raises:
            InputError: The input holds no question.
        """
        given: AgentState = state  # mypy reads no keys of a type variable
        inherited = Handover.received()
        ordinal = given.get("ordinal", 0) + 1
        run = inherited["run"] if inherited else _run_name(ordinal)
        path = inherited["path"] if inherited else ""
        messages = given.get("messages", [])
        question = given.get("question", "")
        asked, asked_id = (question, "") if inherited else asked_in(messages, question)
        new = [] if asked_id else [HumanMessage(content=asked, id=f"{run}:{path}question")]
        asked_id = asked_id or str(new[0].id)
        before = earlier_messages(messages, question=asked_id, run=run)
        fresh: Update = {
            "asked": asked,
            "asked_id": asked_id,
            "inherited": inherited,
            "run": run,
            "path": path,
            "fence": inherited["fence"] if inherited else secrets.token_hex(6),
            "tainted": given.get("tainted", False)
            or (may_have_read(given) and not self._trusts_all)
            or bool(inherited and inherited["tainted"])
            or any(message.untrusted for message in before)
            or any(map(self.distrusts, self.tools.values())),
            "ordinal": ordinal,
            "trace": [],
            "texts": {},
            "spent": nothing_spent(),
            "prompt": [],
            "calls": [],
            "made": Overwrite([]),
            "chosen": [],
            "answer": "",
            "citations": [],
            "structured_response": None,
            "stopped_by": "finished",
            "ended_by": {},
        }
        turn = AgentTurn(self, cast("S", {**state, **fresh}), fresh)
        turn.messages += new
        return turn


class AgentTurn(Generic[S_co]):
    """One node at work: its view of the state and of the budget, and the update it prepares."""

    def __init__(
        self, context: AgentContext, state: S_co, fresh: Mapping[str, Any] | None = None
    ) -> None:
        """Copy the parts of the state that change; `fresh` replaces it when a run begins."""
        self.context = context
        given: AgentState = state  # mypy reads no keys of a type variable
        self.texts = dict(given.get("texts", {}))
        self.trace = list(given.get("trace", []))
        self.messages: list[AnyMessage] = []
        self.spent: Spent = given.get("spent") or nothing_spent()
        self.path = given.get("path", "")
        self.fence = given.get("fence", "")
        self.run = given.get("run", "")
        self._state = state
        self._given = given
        self._fresh = fresh
        self._known = frozenset(self.texts)
        self._recorded = len(self.trace)
        self._chosen = list(given.get("chosen", []))

    @property
    def state(self) -> S_co:
        """The state before this node."""
        return self._state

    @property
    def question(self) -> str:
        """The question of the run."""
        return self._given.get("asked", "")

    @property
    def earlier(self) -> list[Earlier]:
        """The messages from before the run."""
        asked = self._given.get("asked_id", "")
        messages = self._given.get("messages", [])
        return list(earlier_messages(messages, question=asked, run=self.run))

    @property
    def tainted(self) -> bool:
        """True where untrusted text is in the context."""
        return self._given.get("tainted", False)

    @property
    def stopped_by(self) -> StoppedBy:
        """The reason to stop, or `"finished"`."""
        return self._given.get("stopped_by", "finished")

    @property
    def background(self) -> list[tuple[str, str]]:
        """Labelled texts that a parent agent passed on, each once."""
        inherited = self._given.get("inherited")
        given = inherited["background"] if inherited else []
        return [(label, text) for text, label in {text: label for label, text in given}.items()]

    @property
    def tools(self) -> list[Tool]:
        """The tools that were chosen for the question."""
        known = self.context.tools
        return [known[name] for name in self._chosen if name in known]

    @property
    def journal(self) -> Journal | None:
        """The journal of tool calls; None where the run cannot be resumed and none was given."""
        if self.context.journal is not None:
            return self.context.journal
        return self.context.run_journal if self.resumable else None

    @property
    def resumable(self) -> bool:
        """True where the run is checkpointed, so that it can be resumed and a person be asked."""
        return bool(get_config().get("configurable", {}).get(_CHECKPOINTER))

    @property
    def limits(self) -> Amount:
        """The limits of the run: the agent's own, and those of the agent that it works for."""
        inherited = self._given.get("inherited")
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
        limits, reply = self.limits, context.final_tokens
        held = held_for_answer(limits, prompt=prompt, reply=reply, price=context.price)
        return minus(left_of(limits, self.spent), held)

    def emit(self, event: Event) -> None:
        """Pass an event to the listeners of the graph's stream."""
        get_stream_writer()(event)

    def stream_answer(self, step: str, text: str) -> None:
        """Stream a piece of the answer that this step writes, as a chunk of its message."""
        push_message(AIMessageChunk(content=text, id=self.message_id(step)), state_key=None)

    def message_id(self, step: str) -> str:
        """Return the id of the message that this step writes, or of the call that it makes."""
        return f"{self.run}:{step}"

    def calls(self, step: str, text: str, calls: Iterable[AgentCall]) -> AnyMessage:
        """Return the message that makes tool calls; `step` is the one that decided them."""
        made = [(self.message_id(one["id"]), one["tool"], arguments_of(one)) for one in calls]
        name = self.message_id(f"{step}:calls")
        return calls_message(name, text, made, agent=self.context.name)

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

    @property
    def chosen(self) -> list[str]:
        """The names of the tools that are offered."""
        return self._chosen

    async def choose_tools(self, about: str = "") -> list[str]:
        """Choose the tools for the question and return their names, which the state keeps.

        A note says so where they are fewer than all.

        Args:
            about: The work that is planned beside the question, where it is known.
        """
        self._chosen = await self._choice(f"{self.question}\n{about}".strip())
        return self._chosen

    async def _choice(self, question: str) -> list[str]:
        tools, select = self.context.tools, self.context.select
        if select is None:
            return list(tools)
        chosen = await select(question, list(tools.values()))
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

    def take(self, output: RunRecord) -> Spent:
        """Append the steps, texts, tool messages and costs of an agent that worked for this one."""
        self.messages += shared_messages(output.get("messages", []))
        self.trace.extend(output.get("trace", []))
        self.texts.update(output.get("texts", {}))
        spent = output.get("spent") or nothing_spent()
        self.spent = added(self.spent, spent)
        return spent

    def update(self, **changes: Any) -> Update:
        """Return the update of the state: new texts and steps, the ledger, and `changes`."""
        if self.messages:
            changes["messages"] = self.messages
        if self._fresh is not None:
            whole = {"texts": Overwrite(self.texts), "trace": Overwrite(self.trace)}
            return {**self._fresh, **changes, **whole, "spent": self.spent}
        new = {name: text for name, text in self.texts.items() if name not in self._known}
        changes = {"texts": new, "trace": self.trace[self._recorded :], **changes}
        return {"spent": self.spent, **changed(self._given, changes)}

    async def end(
        self, text: str, stopped_by: StoppedBy, *, step: str = "", structured: Json = None
    ) -> Update:
        """Return the update that ends a run with this answer and the citations of its results.

        Args:
            text: The answer.
            stopped_by: Why the run ends.
            step: The step that wrote the answer, if one did.
            structured: The result that the option `output` asks for.
        """
        found: dict[str, dict[str, Any]] = {}
        for record in self.trace:
            for citation in record.get("citations", []):
                found.setdefault(dumped(citation), citation)
        citations = list(found.values())
        trusted = self.context.trusted_tools
        tools = (record["name"] for record in self.trace if record["kind"] == "tool")
        tainted = self.tainted or any(name not in trusted for name in tools)
        spent = self.spent
        message = AIMessage(
            content=text,
            id=self.message_id(step or f"{self.path}answer"),
            name=self.context.name,
            additional_kwargs={"citations": citations} if citations else {},
            response_metadata={"stopped_by": stopped_by, UNTRUSTED: tainted},
            usage_metadata=usage_metadata(spent["prompt"], spent["completion"], spent["cached"]),
        )
        self.messages.append(message)
        if (journal := self.journal) is not None:
            await journal.end_run(f"{self.run}:{self.path}")
        return self.update(
            answer=text,
            citations=citations,
            structured_response=structured,
            stopped_by=stopped_by,
            tainted=tainted,
        )


def _run_name(ordinal: int) -> str:
    """Return a name that no other run has, of this thread or a deleted one of the same name."""
    thread = get_config().get("configurable", {}).get("thread_id", "")
    return f"{thread}:{ordinal}:{secrets.token_hex(6)}"
