"""Running an agent's graph: once, as a stream of events, and on from where it stopped."""

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt

from ragkit.agents.approval import Decision, Pending
from ragkit.agents.events import Event, Finished
from ragkit.agents.parts import Agent, AgentGraph
from ragkit.agents.result import AgentResult, result_of
from ragkit.agents.state import AgentOutput
from ragkit.core.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What an agent is made of.

    Attributes:
        pattern: How it works.
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
        """Everything, to read."""
        head = f"{self.pattern} on {self.model or 'a model'} with {', '.join(self.tools) or 'no'}"
        parts = [f"{head} tools"] if not self.tools else [f"{head} as tools"]
        parts += [f"--- {name}\n{text}" for name, text in self.prompts.items()]
        return "\n\n".join(parts)


def explain(agent: Agent) -> Explanation:
    """What an agent is made of, its prompts included.

    Raises:
        InputError: The graph was not made by ragkit.
    """
    graph = agent.builder
    if not isinstance(graph, AgentGraph):
        raise InputError(f"{agent.name!r} is no agent of ragkit; give what react(...) returned.")
    about = graph.about
    return Explanation(
        pattern=about.pattern, model=about.model, tools=about.tools, prompts=about.prompts
    )


async def run(
    agent: Agent, question: str, *, thread: str | None = None, config: RunnableConfig | None = None
) -> AgentResult:
    """Ask an agent.

    Args:
        agent: What `react` or a sibling returned.
        question: The question.
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
    """Go on with a run that was killed, or that waits for a person.

    Args:
        agent: The same agent, with the same checkpointer and journal.
        thread: Of the run.
        decision: `approve()`, `edit(arguments)` or `refuse(reason)` for the call that waits; by
            the `id` of each in `AgentResult.pending` where several wait.
        config: LangGraph's.

    Raises:
        ConfigError: The agent has no checkpointer.
        InputError: There is nothing to go on with, or it is not said what a decision is for.
    """
    return await _last(stream_resumed(agent, thread, decision, config=config))


async def stream(
    agent: Agent, question: str, *, thread: str | None = None, config: RunnableConfig | None = None
) -> AsyncGenerator[Event]:
    """Ask an agent, and get what happens as events; the last one is `Finished`."""
    if thread is None and _remembers(agent):
        thread = uuid.uuid4().hex
    events = _events(agent, {"question": question}, thread=thread or "", config=config)
    async for event in events:
        yield event


async def stream_resumed(
    agent: Agent,
    thread: str,
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    config: RunnableConfig | None = None,
) -> AsyncGenerator[Event]:
    """See `resume`; gives the events of what is still to do."""
    if not _remembers(agent):
        raise ConfigError("A run can only be resumed with a checkpointer; give the agent one.")
    given = _configured(config, thread)
    state = await agent.aget_state(given)
    # Not `state.next`: it leaves out a step whose result is saved but not yet taken in.
    if not state.tasks:
        raise InputError(f"There is nothing to resume in the thread {thread!r}.")
    waiting = [pending.id for pending in _pending(state.interrupts)]
    if waiting and decision is None:
        raise InputError(f"The thread {thread!r} waits for a decision: approve, edit or refuse.")
    resumed: Command[Any] | None = None
    if waiting:
        resumed = Command(resume=_for_each(waiting, decision))
    async for event in _events(agent, resumed, thread=thread, config=config):
        yield event


def _for_each(
    waiting: Sequence[str], decision: Decision | Mapping[str, Decision] | None
) -> Mapping[str, Decision]:
    given = dict(decision or {})
    if "decision" in given:
        if len(waiting) > 1:
            raise InputError(f"Several calls wait; say which is decided, by its id: {waiting!r}.")
        return {waiting[0]: given}
    unknown = set(given) - set(waiting)
    if unknown or not given:
        raise InputError(f"Decide about the calls that wait: {waiting!r}, not {sorted(given)!r}.")
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
    output: AgentOutput = {}
    interrupts: dict[str, Interrupt] = {}
    configured = _configured(config, thread)
    modes = ["custom", "values"]
    async for place, mode, part in graph.astream(
        given, configured, stream_mode=modes, subgraphs=True, **options
    ):
        if mode == "custom":
            yield cast("Event", part)
        elif not place:
            interrupts |= {one.id: one for one in part.pop("__interrupt__", ())}
            output = cast("AgentOutput", {**output, **part})
    yield Finished(
        result=result_of(output, thread=thread, pending=_pending([*interrupts.values()]))
    )


def _remembers(agent: Agent) -> bool:
    graph: Any = agent
    return bool(graph.checkpointer)


def _pending(interrupts: Sequence[Interrupt]) -> list[Pending]:
    return [Pending(id=one.id, **one.value) for one in interrupts]


def _configured(config: RunnableConfig | None, thread: str) -> RunnableConfig:
    given: RunnableConfig = {**config} if config else {}
    if thread:
        given["configurable"] = {**given.get("configurable", {}), "thread_id": thread}
    return given


async def _last(events: AsyncGenerator[Event]) -> AgentResult:
    result = None
    async for event in events:
        if isinstance(event, Finished):
            result = event.result
    if result is None:
        raise InputError("The graph ended without a result; is it an agent of ragkit?")
    return result
