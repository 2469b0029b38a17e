"""Grammars for machine-read replies: bounded, no optional white space, valid by construction."""

from ragkit.grammar.actions import Action, ToolCall, ToolSpec, action_grammar
from ragkit.grammar.compiler import compile_grammar
from ragkit.grammar.grammar import Grammar, json_grammar
from ragkit.grammar.limits import Limits
from ragkit.grammar.plain_text import choice_grammar, regex_grammar
from ragkit.grammar.plans import Plan, PlanStep, StepReference, plan_grammar
from ragkit.grammar.quotes import Evidence, Quote, quote_grammar
from ragkit.grammar.schema.keywords import Finding
from ragkit.grammar.schema.lint import lint

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
