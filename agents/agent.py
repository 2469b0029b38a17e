"""Agents as compiled graphs: their options and nodes, running and resuming one, handing over."""

import asyncio
import dataclasses
import difflib
import functools
import uuid
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, cast

from langchain_core.messages import MessageLikeRepresentation
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    CompiledStateGraph,
    StateGraph,
)
from langgraph.types import Command, Interrupt
from pydantic import BaseModel

from ragkit.agents import final_answer
from ragkit.agents.approval import Approvals, Decision, approval_reasons, pending_of, resume_values
from ragkit.agents.budget import Budget, Price
from ragkit.agents.context import AgentContext, Handover, Prompts, Selector
from ragkit.agents.events import Event, Finished
from ragkit.agents.journal import Journal
from ragkit.agents.result import AgentResult, result_of
from ragkit.agents.state import (
    PUBLIC,
    RECORD,
    AgentInput,
    AgentOutput,
    Inherited,
    RunRecord,
)
from ragkit.agents.tools.langchain import AnyTool, as_tools
from ragkit.agents.tools.selection import FEW, PackagedSelector
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.sync import run_sync
from ragkit.core.types import Conversation, Json
from ragkit.grammar import json_grammar
from ragkit.llm.wrappers.cost import Price as TokenPrice

# `Any`: the graphs of the patterns have states of their own.
Agent: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
"""A compiled graph that takes a question: the result of `react` and its siblings."""

Question: TypeAlias = str | Sequence[MessageLikeRepresentation]
"""A question, or a conversation whose latest message of the user is the question."""

_synchronous: ContextVar[bool] = ContextVar("synchronous", default=False)

_STEPS_WITHOUT_LIMIT = 10_000
_NODES_PER_STEP = 8
_NUMBERS = ("reply_tokens", "answer_tokens", "evidence_tokens", "observation_chars", "parallel")


class AgentOptions(TypedDict, total=False):
    """The options that all patterns have in common.

    Attributes:
        budget: The limits of a run; `Budget()` where left out.
        checkpointer: LangGraph's; with one, runs can be resumed and a person can be asked.
        journal: Records the calls of tools, so that none is repeated after a crash; give a
            `SQLiteJournal` beside a checkpointer that outlives the process.
        approvals: When a person is asked before a `write` tool.
        trusted_tools: Tools whose results are not untrusted text.
        prompts: Texts instead of the files under `agents/prompts`, by name.
        price: The cost of tokens: a `ragkit.llm.Price`, or a function of the usage.
        count_tokens: Counts a prompt's tokens; an estimate where left out.
        reply_tokens: Tokens of a reply that decides something, at most.
        answer_tokens: Tokens of an answer, at most.
        evidence_tokens: Tokens of the results of tools in one prompt, at most.
        observation_chars: Characters of one result in a prompt, at most.
        parallel: Calls of tools at the same time, at most.
        decoding: The model's decoding options, such as temperature and seed.
        select: Chooses among the tools for each question; where left out, more than 15 are chosen
            from with the packaged embedding model. None offers them all.
        output: A pydantic model, or a JSON Schema, of the result: the run ends with a
            `structured_response` that was decoded under its grammar.
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
    output: type[BaseModel] | Mapping[str, Json] | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentExplanation:
    """The parts of an agent.

    Attributes:
        pattern: The name of its pattern.
        model: The name of its model.
        tools: Names of its tools.
        prompts: The text of each prompt by name, with `{places}`; replace one by
            `prompts={name: text}`. The exact messages of a call are in `Step.prompt`.
    """

    pattern: str
    model: str
    tools: tuple[str, ...]
    prompts: Mapping[str, str]

    def __str__(self) -> str:
        """Return everything as text."""
        head = f"{self.pattern} on {self.model or 'a model'} with {', '.join(self.tools) or 'no'}"
        parts = [f"{head} tools"] if not self.tools else [f"{head} as tools"]
        parts += [f"--- {name}\n{text}" for name, text in self.prompts.items()]
        return "\n\n".join(parts)


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
        token = _synchronous.set(True)
        try:
            return run_sync(functools.partial(self.ainvoke, input))
        finally:
            _synchronous.reset(token)


class AgentGraph(StateGraph[Any, Any, Any, Any]):
    """The graph of an agent in the making, with the context of its nodes."""

    def __init__(self, context: AgentContext, state: type[Any]) -> None:
        """Begin an empty graph over a state that extends `AgentState`."""
        super().__init__(state, input_schema=AgentInput, output_schema=AgentOutput)
        self.context = context
        self._inner: dict[str, list[Agent]] = {}

    def node(
        self,
        name: str,
        function: Callable[[Any], Awaitable[Any]],
        *,
        runs: Iterable[Agent] = (),
    ) -> None:
        """Add a node; `runs` are the agents that it hands tasks to, which drawings show."""
        # `Any`: the types of LangGraph's methods are only partly known.
        graph: Any = self
        graph.add_node(name, GraphNode(name, function))
        self._inner[name] = list(runs)

    @property
    def workers(self) -> list[Agent]:
        """The agents that the nodes hand tasks to."""
        return [agent for agents in self._inner.values() for agent in agents]

    def branch(
        self, source: str, function: Callable[[Any], Awaitable[Any]], targets: Sequence[str]
    ) -> None:
        """Add a route from a node to one of several, chosen by a function of the state."""
        self.add_conditional_edges(source, GraphNode(f"after {source}", function), list(targets))

    def finish(self, options: "AgentOptions") -> Agent:
        """Compile the graph; LangGraph's own limit of steps lies beyond the budget's."""
        context = self.context
        graph: Any = self
        made: Agent = graph.compile(checkpointer=options.get("checkpointer"), name=context.name)
        # Clients that stream values, or read the state, see what the output holds.
        made.stream_channels = list(PUBLIC)
        for name, agents in self._inner.items():
            made.nodes[name].subgraphs = agents
        steps = context.budget.steps or _STEPS_WITHOUT_LIMIT
        limit = _NODES_PER_STEP * steps + 32
        return made.with_config(recursion_limit=limit, max_concurrency=context.parallel)


def explain(agent: Agent) -> AgentExplanation:
    """Return the parts of an agent, its prompts included.

    Raises:
        InputError: The graph was not made by ragkit.
    """
    graph = agent.builder
    if not isinstance(graph, AgentGraph):
        raise InputError(
            f"{agent.name!r} is no agent of ragkit. Fix: pass what react(...) returned."
        )
    context = graph.context
    return AgentExplanation(
        pattern=context.pattern,
        model=context.llm.model,
        tools=tuple(context.tools),
        prompts=context.prompts.texts,
    )


async def run(
    agent: Agent,
    question: Question,
    *,
    thread: str | None = None,
    config: RunnableConfig | None = None,
) -> AgentResult:
    """Ask an agent and return its result.

    Args:
        agent: The result of `react` or a sibling.
        question: The question, or messages of which the latest of the user is the question.
        thread: The conversation that the question belongs to, where the agent has a checkpointer;
            a new one where left out.
        config: LangGraph's, such as callbacks.
    """
    return await _last(stream(agent, question, thread=thread, config=config))


async def resume(
    agent: Agent,
    thread: str,
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    config: RunnableConfig | None = None,
) -> AgentResult:
    """Continue a run that was killed, or that waits for a person.

    Args:
        agent: The same agent, with the same checkpointer and journal.
        thread: The thread of the run.
        decision: `approve()`, `edit(arguments)` or `refuse(reason)` for the call that waits; by
            the `id` of each in `AgentResult.pending` where several wait.
        config: LangGraph's.

    Raises:
        ConfigError: The agent has no checkpointer.
        InputError: The thread has nothing to resume, or the decision names no call.
    """
    return await _last(stream_resumed(agent, thread, decision, config=config))


async def stream(
    agent: Agent,
    question: Question,
    *,
    thread: str | None = None,
    config: RunnableConfig | None = None,
) -> AsyncGenerator[Event]:
    """Ask an agent and yield the events of the run; the last one is `Finished`."""
    if thread is None and _has_checkpointer(agent):
        thread = uuid.uuid4().hex
    elif thread is not None and not _has_checkpointer(agent):
        raise ConfigError(
            f"The agent has no checkpointer to keep the thread {thread!r}. "
            "Fix: pass checkpointer=... to it."
        )
    name = "question" if isinstance(question, str) else "messages"
    async for event in _events(agent, {name: question}, thread=thread or "", config=config):
        yield event


async def stream_resumed(
    agent: Agent,
    thread: str,
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    config: RunnableConfig | None = None,
) -> AsyncGenerator[Event]:
    """Continue a run as `resume` does and yield the events of the rest of it."""
    if not _has_checkpointer(agent):
        raise ConfigError(
            "The agent has no checkpointer to resume a run from. Fix: pass checkpointer=... to it."
        )
    state = await agent.aget_state(_configured(config, thread))
    # Not `state.next`: it leaves out a step whose result is saved but not yet taken in.
    if not state.tasks:
        raise InputError(f"There is nothing to resume in the thread {thread!r}.")
    waiting = {one.id: pending_of(one.id, one.value) for one in state.interrupts}
    if waiting and decision is None:
        raise InputError(
            f"The thread {thread!r} waits for a decision. Fix: pass approve(), edit(arguments) or "
            "refuse(reason)."
        )
    resumed: Command[Any] | None = None
    if waiting:
        calls = [call.id for found in waiting.values() for call in found]
        resumed = Command(resume=resume_values(waiting, _for_each(calls, decision)))
    async for event in _events(agent, resumed, thread=thread, config=config):
        yield event


async def hand_over(agent: Agent, question: str, inherited: Inherited) -> RunRecord:
    """Have another agent do a task within this node and return the record of its run."""
    # `Any`: the input and output of a graph are open in LangGraph's types.
    graph: Any = agent
    config: RunnableConfig = {"configurable": {Handover.KEY: Handover(inherited)}}
    given = {"question": question}
    if _synchronous.get():  # the saver may know no other calls
        call = functools.partial(graph.invoke, given, config, output_keys=RECORD)
        return cast("RunRecord", await asyncio.to_thread(call))
    return cast("RunRecord", await graph.ainvoke(given, config, output_keys=RECORD))


def agent_context(  # the parts of every agent
    pattern: str,
    llm: LLM,
    *,
    tools: Iterable[AnyTool],
    prompts: Iterable[str],
    options: AgentOptions,
    reserved: Collection[str] = (),
) -> AgentContext:
    """Return the context of an agent that uses the prompts of these names.

    Raises:
        ConfigError: An option or a value is unknown, or the agent has no such prompt.
        InputError: Two tools have one name, or a tool has the name of one of the agent's own calls.
    """
    tools = as_tools(tools)
    by_name = {tool.name: tool for tool in tools}
    _check_options(options, by_name)
    if len(by_name) < len(tools):
        found = [tool.name for tool in tools]
        raise InputError(f"Two tools have one name, got {found!r}. Fix: give each its own name.")
    for name in sorted(set(reserved) & set(by_name)):
        raise InputError(
            f"The tool {name!r} has the name of one of the agent's own calls. Fix: rename it."
        )
    known = {field.name for field in dataclasses.fields(AgentContext)}
    # `Any`: the options of this agent that have the name of an attribute of the context.
    given: dict[str, Any] = {
        key: value
        for key, value in options.items()
        if key in known
        and key not in {"budget", "name", "output", "price", "prompts", "trusted_tools"}
    }
    if len(tools) > FEW:
        given.setdefault("select", PackagedSelector())
    output = options.get("output")
    names = prompts if output is None else dict.fromkeys([*prompts, *final_answer.PROMPTS])
    price, budget = options.get("price"), options.get("budget") or Budget()
    if budget.cost is not None and price is None:
        raise ConfigError(
            f"The budget limits the cost to {budget.cost!r}, but the agent has no price. "
            "Fix: pass price=... too."
        )
    return AgentContext(
        pattern=pattern,
        name=options.get("name", pattern),
        llm=llm,
        tools=by_name,
        prompts=Prompts.of(names, options.get("prompts")),
        output=None if output is None else json_grammar(output),
        budget=budget,
        reasons=approval_reasons(tools, options.get("approvals", "untrusted")),
        trusted_tools=frozenset(options.get("trusted_tools", ())),
        price=price.of if isinstance(price, TokenPrice) else price,
        **given,
    )


def check_worker(agent: Agent, name: str, *, budget: Budget) -> None:
    """Check an agent that works for another under a budget.

    Raises:
        ConfigError: The budget limits the cost, and the agent has no price.
        InputError: It is no agent of ragkit.
    """
    graph = agent.builder
    if not isinstance(graph, AgentGraph):
        raise InputError(f"{name!r} is no agent of ragkit. Fix: pass what react(...) returned.")
    if budget.cost is not None and graph.context.price is None:
        raise ConfigError(
            f"The budget limits the cost to {budget.cost!r}, but {name!r} has no price. "
            "Fix: pass price=... to it too."
        )
    for inner in graph.workers:
        check_worker(inner, str(inner.name), budget=budget)


def at_least(least: int, **numbers: object) -> None:
    """Check the whole numbers among an agent's own options.

    Raises:
        ConfigError: One is below `least`, or no whole number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"The option {name} is {value!r}. Fix: pass a whole number from {least} up."
            )


def _check_options(options: Mapping[str, object], tools: Collection[str]) -> None:
    for name in options:
        if name not in AgentOptions.__annotations__:
            near = difflib.get_close_matches(name, AgentOptions.__annotations__, n=1)
            known = near or sorted(AgentOptions.__annotations__)
            raise ConfigError(f"Agents have no option {name!r}. Fix: use {' or '.join(known)}.")
    for name in _NUMBERS:
        if name in options:
            at_least(1, **{name: options[name]})
    trusted = cast("Sequence[str]", options.get("trusted_tools", ()))
    for name in [trusted] if isinstance(trusted, str) else trusted:
        if name not in tools:
            raise ConfigError(
                f"trusted_tools names {name!r}, which is no tool of the agent. "
                f"Fix: name some of {sorted(tools)!r}."
            )
    decoding = cast("Mapping[str, object]", options.get("decoding", {}))
    for name in decoding:
        if name not in CallOptions.__annotations__:
            raise ConfigError(
                f"decoding has no option {name!r}. "
                f"Fix: use some of {sorted(CallOptions.__annotations__)!r}."
            )


def _for_each(
    waiting: Sequence[str], decision: Decision | Mapping[str, Decision] | None
) -> Mapping[str, Decision]:
    given = dict(decision or {})
    if "type" in given:
        if len(waiting) > 1:
            raise InputError(
                f"Several calls wait: {waiting!r}. Fix: pass each decision by the call's id."
            )
        return {waiting[0]: given}
    unknown = set(given) - set(waiting)
    if unknown or not given:
        raise InputError(
            f"The decisions are for {sorted(given)!r}, but the calls that wait are {waiting!r}. "
            "Fix: use these ids."
        )
    return given


async def _events(
    agent: Agent,
    given: Mapping[str, object] | Command[Any] | None,
    *,
    thread: str,
    config: RunnableConfig | None,
) -> AsyncGenerator[Event]:
    # `Any`: LangGraph's stream leaves the kind of its parts open.
    graph: Any = agent
    options: dict[str, Any] = {"durability": "sync"} if thread else {}
    output: RunRecord = {}
    interrupts: dict[str, Interrupt] = {}
    configured = _configured(config, thread)
    modes = ["custom", "values"]
    async for place, mode, part in graph.astream(
        given,
        configured,
        stream_mode=modes,
        output_keys=RECORD,
        subgraphs=True,
        **options,
    ):
        if mode == "custom":
            yield cast("Event", part)
        elif not place:
            interrupts |= {one.id: one for one in part.pop("__interrupt__", ())}
            output = cast("RunRecord", {**output, **part})
    pending = [call for one in interrupts.values() for call in pending_of(one.id, one.value)]
    yield Finished(result=result_of(output, thread=thread, pending=pending))


async def _last(events: AsyncGenerator[Event]) -> AgentResult:
    result = None
    async for event in events:
        if isinstance(event, Finished):
            result = event.result
    if result is None:
        raise InputError("The graph ended without a result. Fix: pass an agent of ragkit.")
    return result


def _has_checkpointer(agent: Agent) -> bool:
    graph: Any = agent
    return bool(graph.checkpointer)


def _configured(config: RunnableConfig | None, thread: str) -> RunnableConfig:
    given: RunnableConfig = {**config} if config else {}
    if thread:
        given["configurable"] = {**given.get("configurable", {}), "thread_id": thread}
    return given
