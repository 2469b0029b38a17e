"""Grammars for machine-read replies: bounded, no optional white space, valid by construction."""

from ragkit.llm.grammar.actions import Action, ToolCall, ToolSpec, action_grammar
from ragkit.llm.grammar.compile import compile_grammar
from ragkit.llm.grammar.grammar import Grammar, json_grammar
from ragkit.llm.grammar.keywords import Finding
from ragkit.llm.grammar.limits import Limits
from ragkit.llm.grammar.lint import lint
from ragkit.llm.grammar.plain import choice_grammar, regex_grammar
from ragkit.llm.grammar.plans import Plan, PlanStep, StepReference, plan_grammar
from ragkit.llm.grammar.quotes import Evidence, Quote, quote_grammar

__all__ = [
    "Action",
    "Evidence",
    "Finding",
    "Grammar",
    "Limits",
    "Plan",
    "PlanStep",
    "Quote",
    "StepReference",
    "ToolCall",
    "ToolSpec",
    "action_grammar",
    "choice_grammar",
    "compile_grammar",
    "json_grammar",
    "lint",
    "plan_grammar",
    "quote_grammar",
    "regex_grammar",
]
