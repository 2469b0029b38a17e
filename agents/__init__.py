"""Agents: LangGraph graphs whose calls of tools are valid by construction, under a budget."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.agents.agent import (
        Agent,
        AgentExplanation,
        explain,
        resume,
        run,
        stream,
    )
    from ragkit.agents.approval import Pending, approve, edit, refuse
    from ragkit.agents.budget import Budget
    from ragkit.agents.conversation import summarise, trim
    from ragkit.agents.hooks import Hook
    from ragkit.agents.journal import Journal, MemoryJournal, PostgresJournal, SQLiteJournal
    from ragkit.agents.memory import LongTermMemory
    from ragkit.agents.options import AgentOptions
    from ragkit.agents.plan_execute import plan_and_execute
    from ragkit.agents.react import react
    from ragkit.agents.reflect import reflect
    from ragkit.agents.result import AgentResult, Step
    from ragkit.agents.rewoo import rewoo
    from ragkit.agents.self_consistency import self_consistency
    from ragkit.agents.sqlite_runs import SQLiteRuns
    from ragkit.agents.store import RagkitStore
    from ragkit.agents.team import Member, team
    from ragkit.agents.tools import IdempotencyKey, ToolSelector, tool
    from ragkit.agents.tree_of_thought import tree_of_thought

_EXPORTS = {
    "ragkit.agents.agent": (
        "Agent",
        "AgentExplanation",
        "explain",
        "resume",
        "run",
        "stream",
    ),
    "ragkit.agents.approval": ("Pending", "approve", "edit", "refuse"),
    "ragkit.agents.budget": ("Budget",),
    "ragkit.agents.conversation": ("summarise", "trim"),
    "ragkit.agents.journal": ("Journal", "MemoryJournal", "PostgresJournal", "SQLiteJournal"),
    "ragkit.agents.memory": ("LongTermMemory",),
    "ragkit.agents.options": ("AgentOptions",),
    "ragkit.agents.plan_execute": ("plan_and_execute",),
    "ragkit.agents.react": ("react",),
    "ragkit.agents.reflect": ("reflect",),
    "ragkit.agents.result": ("AgentResult", "Step"),
    "ragkit.agents.rewoo": ("rewoo",),
    "ragkit.agents.self_consistency": ("self_consistency",),
    "ragkit.agents.team": ("Member", "team"),
    "ragkit.agents.hooks": ("Hook",),
    "ragkit.agents.sqlite_runs": ("SQLiteRuns",),
    "ragkit.agents.store": ("RagkitStore",),
    "ragkit.agents.tools": ("IdempotencyKey", "ToolSelector", "tool"),
    "ragkit.agents.tree_of_thought": ("tree_of_thought",),
}

__all__ = [
    "Agent",
    "AgentExplanation",
    "AgentOptions",
    "AgentResult",
    "Budget",
    "Hook",
    "IdempotencyKey",
    "Journal",
    "LongTermMemory",
    "Member",
    "MemoryJournal",
    "Pending",
    "PostgresJournal",
    "RagkitStore",
    "SQLiteJournal",
    "SQLiteRuns",
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
    "summarise",
    "team",
    "tool",
    "tree_of_thought",
    "trim",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
