"""The first node of every agent: names the run and clears what an earlier question left."""

import secrets
import uuid
from collections.abc import Sequence

from langgraph.config import get_config

from ragkit.agents.budget import nothing_spent
from ragkit.agents.events import Noticed, emit
from ragkit.agents.parts import Parts
from ragkit.agents.state import AgentState, Draft, Record, Update, digest
from ragkit.core.protocols import Tool

_NESTED = "|"


def start(state: AgentState) -> Update:
    """The state that a run begins with; `Draft.first` makes the node's update of it."""
    inherited = state.get("inherited")
    ordinal = state.get("ordinal", 0) + 1
    return {
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


def _run_name(ordinal: int) -> str:
    """The same when the node runs again after a crash, and another for every run."""
    given = get_config().get("configurable", {})
    thread = given.get("thread_id")
    if thread is None:
        return uuid.uuid4().hex
    place: str = given.get("checkpoint_ns", "")
    nested = digest(place)[:12] if _NESTED in place else ""
    return f"{thread}:{nested or ordinal}"


async def choose_tools(parts: Parts, draft: Draft, state: AgentState) -> list[str]:
    """The names of the tools for this question; says so in the trace where they are fewer."""
    if parts.select is None:
        return list(parts.tools)
    chosen = await parts.select(state["question"], list(parts.tools.values()))
    names = [tool.name for tool in chosen if tool.name in parts.tools]
    if names and len(names) < len(parts.tools):
        text = f"{len(names)} of {len(parts.tools)} tools were chosen: {', '.join(names)}."
        step = draft.next_step()
        draft.add(Record(id=step, kind="note", name="tools", result=draft.keep(text)))
        emit(Noticed(step=step, text=text))
    return names or list(parts.tools)


def tools_of(parts: Parts, state: AgentState) -> Sequence[Tool]:
    """The tools that were chosen for the question."""
    return [parts.tools[name] for name in state.get("chosen", []) if name in parts.tools]
