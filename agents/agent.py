"""Agents as compiled graphs: their options and nodes, running and resuming one, handing over."""

import asyncio
import functools
import uuid
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.messages import MessageLikeRepresentation
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphBubbleUp
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    CompiledStateGraph,
    StateGraph,
)
from langgraph.types import Command, Interrupt

from ragkit.agents.approval import Decision, pending_of, place_of, resume_values
from ragkit.agents.budget import Budget
from ragkit.agents.context import AgentContext
from ragkit.agents.events import Event, Finished
from ragkit.agents.handover import Handover
from ragkit.agents.messages import Earlier, messages_handed_on
from ragkit.agents.options import AgentOptions
from ragkit.agents.result import AgentResult, result_of
from ragkit.agents.state import (
    PUBLIC,
    RECORD,
    SYNCHRONOUS,
    AgentInput,
    AgentOutput,
    GraphNode,
    Inherited,
    RunRecord,
)
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.operation import Operation

# `Any`: the graphs of the patterns have states of their own.
Agent: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
"""A compiled graph that takes a question: the result of `react` and its siblings."""

Question: TypeAlias = str | Sequence[MessageLikeRepresentation]
"""A question, or a conversation whose latest message of the user is the question."""

_STEPS_WITHOUT_LIMIT = 10_000
_NODES_PER_STEP = 8
_ASKED = "__interrupt__"  # LangGraph has no public name for it


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


class AgentGraph(StateGraph[Any, Any, Any, Any]):
    """The graph of an agent in the making, with the context of its nodes.

    `gated` says that its nodes bound by themselves how many tasks work at the same time.
    """

    def __init__(self, context: AgentContext, state: type[Any], *, gated: bool = False) -> None:
        """Begin an empty graph over a state that extends `AgentState`."""
        super().__init__(
            state,
            context_schema=context.context_schema,
            input_schema=AgentInput,
            output_schema=AgentOutput,
        )
        self.context = context
        self.gated = gated
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

    def finish(self, options: AgentOptions) -> Agent:
        """Compile the graph; LangGraph's own limit of steps lies beyond the budget's."""
        context = self.context
        graph: Any = self
        made: Agent = graph.compile(
            checkpointer=options.get("checkpointer"), store=options.get("store"), name=context.name
        )
        # Clients that stream values, or read the state, see what the output holds.
        made.stream_channels = list(PUBLIC)
        for name, agents in self._inner.items():
            made.nodes[name].subgraphs = agents
        steps = context.budget.steps or _STEPS_WITHOUT_LIMIT
        made = made.with_config(recursion_limit=_NODES_PER_STEP * steps + 32)
        return made if self.gated else made.with_config(max_concurrency=context.parallel)


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
    context: object = None,
) -> AgentResult:
    """Ask an agent and return its result.

    Args:
        agent: The result of `react` or a sibling.
        question: The question, or messages of which the latest of the user is the question.
        thread: The conversation that the question belongs to, where the agent has a checkpointer;
            a new one where left out.
        config: LangGraph's, such as callbacks.
        context: The context of the run, by `context_schema`, which tools may receive.
    """
    return await _last(stream(agent, question, thread=thread, config=config, context=context))


async def resume(
    agent: Agent,
    thread: str,
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    config: RunnableConfig | None = None,
    context: object = None,
) -> AgentResult:
    """Continue a run that was killed, or that waits for a person.

    Args:
        agent: The same agent, with the same checkpointer and journal.
        thread: The thread of the run.
        decision: `approve()`, `edit(arguments)` or `refuse(reason)` for the call that waits; by
            the `id` of each in `AgentResult.pending` where several wait.
        config: LangGraph's.
        context: The context of the run, which no checkpoint keeps.

    Raises:
        ConfigError: The agent has no checkpointer.
        InputError: The thread has nothing to resume, the decision names no call, or none waits any
            more, such as when it was decided before.
    """
    return await _last(stream_resumed(agent, thread, decision, config=config, context=context))


async def stream(
    agent: Agent,
    question: Question,
    *,
    thread: str | None = None,
    config: RunnableConfig | None = None,
    context: object = None,
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
    given = {name: question}
    events = _events(agent, given, thread=thread or "", config=config, context=context)
    async for event in _watched(agent, events, thread=thread):
        yield event


async def stream_resumed(
    agent: Agent,
    thread: str,
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    config: RunnableConfig | None = None,
    context: object = None,
) -> AsyncGenerator[Event]:
    """Continue a run as `resume` does and yield the events of the rest of it."""
    if not _has_checkpointer(agent):
        raise ConfigError(
            "The agent has no checkpointer to resume a run from. Fix: pass checkpointer=... to it."
        )
    configured = _configured(config, thread)
    state = await agent.aget_state(configured)
    # Not `state.next`: it leaves out a step whose result is saved but not yet taken in.
    if not state.tasks:
        raise InputError(f"There is nothing to resume in the thread {thread!r}.")
    waiting = {
        one.id: pending_of(one.id, one.value)
        for one in state.interrupts
        if await _still_waits(agent, one, configured)
    }
    if decision is not None and not waiting:
        raise InputError(
            f"No call of the thread {thread!r} waits for a decision, got {decision!r:.200}. Fix: "
            "resume without a decision; a call that was approved before is not taken back."
        )
    if waiting and decision is None:
        raise InputError(
            f"The thread {thread!r} waits for a decision. Fix: pass approve(), edit(arguments) or "
            "refuse(reason)."
        )
    resumed: Command[Any] | None = None
    if waiting:
        calls = [call.id for found in waiting.values() for call in found]
        resumed = Command(resume=resume_values(waiting, _for_each(calls, decision)))
    events = _events(agent, resumed, thread=thread, config=config, context=context)
    async for event in _watched(agent, events, thread=thread):
        yield event


async def _still_waits(agent: Agent, asked: Interrupt, configured: RunnableConfig) -> bool:
    """Return whether an interrupt is still to be answered.

    That of an agent below stays in the checkpoint of the agent above until its run is over, so the
    checkpoint of its own graph says whether it was answered before the run stopped.
    """
    # `Any`: a saver has the type of its versions, and a write may be of any type.
    graph: Any = agent
    place, saver = place_of(asked.value), graph.checkpointer
    if not place or not isinstance(saver, BaseCheckpointSaver):
        return True
    known = {**configured.get("configurable", {}), "checkpoint_ns": place}
    kept = await saver.aget_tuple({**configured, "configurable": known})
    if kept is None:
        return True
    writes: list[Any] = [value for _, name, value in kept.pending_writes or () if name == _ASKED]
    return any(one.id == asked.id for value in writes for one in value)


async def hand_over(
    agent: Agent, question: str, inherited: Inherited, *, earlier: Iterable[Earlier] = ()
) -> RunRecord:
    """Have another agent do a task within this node and return the record of its run.

    Args:
        agent: The other agent.
        question: The task.
        inherited: The values that it works with.
        earlier: The messages from before the run, where it may see them.
    """
    # `Any`: the input and output of a graph are open in LangGraph's types.
    graph: Any = agent
    config: RunnableConfig = {"configurable": {Handover.KEY: Handover(inherited)}}
    given: dict[str, object] = {"question": question}
    if messages := messages_handed_on(earlier):
        given["messages"] = messages
    with Operation(kind="agent", name=str(agent.name), expected=(GraphBubbleUp,)):
        if SYNCHRONOUS.get():  # the saver may know no other calls
            call = functools.partial(graph.invoke, given, config, output_keys=RECORD)
            return cast("RunRecord", await asyncio.to_thread(call))
        return cast("RunRecord", await graph.ainvoke(given, config, output_keys=RECORD))


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


async def _watched(
    agent: Agent, events: AsyncGenerator[Event], *, thread: str | None
) -> AsyncGenerator[Event]:
    """Pass the events of a run on; observers see the run."""
    operation = Operation(kind="agent", name=str(agent.name))
    if thread:
        operation.facts["conversation"] = thread
    async with aclosing(operation.watched(events)) as watched:
        async for event in watched:
            if isinstance(event, Finished):
                _note_result(operation, event.result)
            yield event


def _note_result(operation: Operation, result: AgentResult) -> None:
    """Set the facts of a run from its result."""
    operation.facts |= {
        "stopped_by": result.stopped_by,
        "steps": len(result.steps),
        "prompt_tokens": result.usage.prompt,
        "cached_tokens": result.usage.cached,
        "completion_tokens": result.usage.completion,
    }
    operation.content["answer"] = lambda: result.answer


async def _events(
    agent: Agent,
    given: Mapping[str, object] | Command[Any] | None,
    *,
    thread: str,
    config: RunnableConfig | None,
    context: object,
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
        context=context,
        **options,
    ):
        if mode == "custom":
            yield cast("Event", part)
        elif not place:
            interrupts |= {one.id: one for one in part.pop(_ASKED, ())}
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
