"""What the nodes of one agent share: model, tools, prompts, limits, journal."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    CompiledStateGraph,
    StateGraph,
)

from ragkit.agents.budget import Amount, Budget, Price, amount_of, held_for_answer, tighter
from ragkit.agents.journal import Journal, MemoryJournal
from ragkit.agents.prompting import Prompts
from ragkit.agents.state import AgentInput, AgentOutput, AgentState
from ragkit.agents.tools.selection import FEW, PackagedSelector
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions, Tool
from ragkit.core.types import Conversation, Message
from ragkit.grammar import ToolSpec
from ragkit.llm.messages import estimated_tokens
from ragkit.llm.wrappers.cost import Price as TokenPrice

# `Any`: the graphs of the patterns have states of their own.
Agent: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
"""A compiled graph that takes a question: what `react` and its siblings return."""

Graph: TypeAlias = Any
"""An `AgentGraph` in the making: the types of LangGraph's methods are only partly known."""

Approvals: TypeAlias = Literal["untrusted", "always", "never"]
"""When a person is asked before a `write` tool: once untrusted text is in the context of the call,
each time, or never. An `approve` tool always asks."""

Selector: TypeAlias = Callable[[str, Sequence[Tool]], Awaitable[Sequence[Tool]]]
"""Chooses the tools that are likely to serve a question."""

_STEPS_WITHOUT_LIMIT = 10_000
_NODES_PER_STEP = 8
_ANSWERING = ("solve", "evidence", "untrusted")


class AgentOptions(TypedDict, total=False):
    """How an agent works; what all patterns have in common.

    Attributes:
        budget: What a run may take; `Budget()` where left out.
        checkpointer: LangGraph's; with one, runs can be resumed and a person can be asked.
        journal: Where calls of tools are noted, so that none is repeated after a crash; give a
            `SQLiteJournal` beside a checkpointer that outlives the process.
        approvals: When a person is asked before a `write` tool.
        trusted_tools: Tools whose results are not untrusted text.
        prompts: Texts instead of the files under `agents/prompts`, by name.
        price: The cost of tokens: a `ragkit.llm.Price`, or a function of the usage.
        count_tokens: Counts a prompt's tokens; an estimate where left out.
        reply_tokens: Tokens of a reply that decides something, at most.
        answer_tokens: Tokens of an answer, at most.
        evidence_tokens: Tokens of what tools gave in one prompt, at most.
        observation_chars: Characters of one result in a prompt, at most.
        parallel: Calls of tools at the same time, at most.
        decoding: How the model decodes, such as temperature and seed.
        select: Chooses among the tools for each question; where left out, more than 15 are chosen
            from with the packaged embedding model. None offers them all.
        name: The graph's name.
    """

    budget: Budget | None
    checkpointer: BaseCheckpointSaver[Any] | None
    journal: Journal | None
    approvals: Approvals
    trusted_tools: Sequence[str]
    prompts: Mapping[str, str]
    price: Price | TokenPrice | None
    count_tokens: Callable[[Conversation], int]
    reply_tokens: int
    answer_tokens: int
    evidence_tokens: int
    observation_chars: int
    parallel: int
    decoding: CallOptions
    select: Selector | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """See `AgentOptions`; with the model, the tools by name and the prompts filled in."""

    llm: LLM
    tools: Mapping[str, Tool]
    prompts: Prompts
    budget: Budget
    journal: Journal
    approvals: Approvals = "untrusted"
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

    @classmethod
    def of(
        cls,
        llm: LLM,
        tools: Iterable[Tool],
        names: Iterable[str],
        options: AgentOptions,
    ) -> "Parts":
        """The parts of an agent that uses the prompts of these names.

        Raises:
            ConfigError: A prompt is given that the agent does not use.
            InputError: Two tools have one name.
        """
        tools = list(tools)
        by_name = {tool.name: tool for tool in tools}
        if len(by_name) < len(tools):
            found = [tool.name for tool in tools]
            raise InputError(f"Tools need names of their own, got {found!r}.")
        # `Any`: the options of this agent that have the name of an attribute here.
        given: dict[str, Any] = {
            key: value
            for key, value in options.items()
            if key in cls.__dataclass_fields__ and key not in {"prompts", "trusted_tools"}
        }
        given["budget"] = options.get("budget") or Budget()
        given["journal"] = options.get("journal") or MemoryJournal()
        if len(tools) > FEW:
            given.setdefault("select", PackagedSelector())
        price = options.get("price")
        given["price"] = price.of if isinstance(price, TokenPrice) else price
        return cls(
            llm=llm,
            tools=by_name,
            prompts=Prompts.of(names, options.get("prompts")),
            trusted_tools=frozenset(options.get("trusted_tools", ())),
            **given,
        )

    def limits(self, state: AgentState) -> Amount:
        """The limits of this run: the agent's own, and those of the agent that it works for."""
        inherited = state.get("inherited")
        own = amount_of(self.budget)
        return tighter(own, Amount(**inherited["limits"])) if inherited else own

    def held(self, state: AgentState) -> Amount:
        """What is put aside for the last call, which answers."""
        bare = [Message(role="system", content=text) for text in self._answering]
        prompt = self.count_tokens([*bare, Message(role="user", content=state["question"])])
        return held_for_answer(
            self.limits(state), prompt=prompt, reply=self.answer_tokens, price=self.price
        )

    @property
    def _answering(self) -> list[str]:
        return [self.prompts.texts[name] for name in _ANSWERING if name in self.prompts.texts]


def specs_of(tools: Iterable[Tool]) -> list[ToolSpec]:
    """Tools as grammars take them."""
    return [
        ToolSpec(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
        for tool in tools
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an agent is made of, for `explain`."""

    pattern: str
    prompts: Mapping[str, str]
    tools: tuple[str, ...]
    model: str


class AgentGraph(StateGraph[Any, Any, Any, Any]):
    """A graph that knows what it is made of."""

    about: About


def finished(graph: Graph, parts: Parts, *, pattern: str, options: AgentOptions) -> Agent:
    """The compiled graph, with LangGraph's own limit of steps beyond what the budget allows."""
    graph.about = About(
        pattern=pattern,
        prompts=parts.prompts.texts,
        tools=tuple(parts.tools),
        model=parts.llm.model,
    )
    compiled = graph.compile(
        checkpointer=options.get("checkpointer"), name=options.get("name", pattern)
    )
    steps = parts.budget.steps or _STEPS_WITHOUT_LIMIT
    limited = compiled.with_config(recursion_limit=_NODES_PER_STEP * steps + 32)
    return cast("Agent", limited)


def agent_graph(state: type[Any]) -> Graph:
    """An empty graph over a state that extends `AgentState`.

    Its nodes and routes are best coroutines, even those that wait for nothing: LangGraph runs
    others in a thread, which costs more than they do.
    """
    return AgentGraph(state, input_schema=AgentInput, output_schema=AgentOutput)
