"""Agents: LangGraph graphs whose calls of tools are valid by construction, under a budget."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.agents.approval import Pending, approve, edit, refuse
    from ragkit.agents.budget import Budget
    from ragkit.agents.dag import rewoo
    from ragkit.agents.journal import Journal, MemoryJournal, SQLiteJournal
    from ragkit.agents.loop import react
    from ragkit.agents.memory import LongTermMemory
    from ragkit.agents.plan_execute import plan_and_execute
    from ragkit.agents.reflection import reflect
    from ragkit.agents.result import AgentResult, Step
    from ragkit.agents.running import Explanation, explain, resume, run, stream
    from ragkit.agents.sampling import self_consistency, tree_of_thought
    from ragkit.agents.teams import Member, team
    from ragkit.agents.tools import IdempotencyKey, ToolSelector, tool

_EXPORTS = {
    "ragkit.agents.approval": ("Pending", "approve", "edit", "refuse"),
    "ragkit.agents.budget": ("Budget",),
    "ragkit.agents.dag": ("rewoo",),
    "ragkit.agents.journal": ("Journal", "MemoryJournal", "SQLiteJournal"),
    "ragkit.agents.loop": ("react",),
    "ragkit.agents.memory": ("LongTermMemory",),
    "ragkit.agents.plan_execute": ("plan_and_execute",),
    "ragkit.agents.reflection": ("reflect",),
    "ragkit.agents.result": ("AgentResult", "Step"),
    "ragkit.agents.running": ("Explanation", "explain", "resume", "run", "stream"),
    "ragkit.agents.sampling": ("self_consistency", "tree_of_thought"),
    "ragkit.agents.teams": ("Member", "team"),
    "ragkit.agents.tools": ("IdempotencyKey", "ToolSelector", "tool"),
}

__all__ = [
    "AgentResult",
    "Budget",
    "Explanation",
    "IdempotencyKey",
    "Journal",
    "LongTermMemory",
    "Member",
    "MemoryJournal",
    "Pending",
    "SQLiteJournal",
    "Step",
    "ToolSelector",
    "approve",
    "edit",
    "explain",
    "plan_and_execute",
    "react",
    "reflect",
    "refuse",
    "resume",
    "rewoo",
    "run",
    "self_consistency",
    "stream",
    "team",
    "tool",
    "tree_of_thought",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
