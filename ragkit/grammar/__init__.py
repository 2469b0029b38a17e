"""Grammars for machine-read replies: bounded, no optional white space, valid by construction.

A JSON Schema becomes EBNF in six stages, each in a room or a module of its own:

1. document (`schema/document.py`): sub-schemas by JSON pointer, older drafts in today's words.
2. expansion (`schema/expansion.py`, `negation.py`): each place in the schema as a list of branches
   without `$ref`, `allOf`, `anyOf`, `oneOf`, `not` or `if`. `check.py` validates what a branch
   cannot express, after decoding.
3. builder (`builder.py`, `schema/recursion.py`): branches into expressions, one rule for each
   place and nesting depth.
4. types (`types/`): the strings, numbers, arrays and objects of a branch.
5. rules (`ebnf/expression.py`, `rules.py`): expressions under names, measured in bytes.
6. EBNF (`ebnf/`): characters, patterns (`pattern.py`, `automaton.py`) and long runs
   (`character_runs.py`) in the form that xgrammar compiles fast and reads correctly.

`grammar.py` puts the stages together. `actions.py`, `plans.py`, `quotes.py` and `plain_text.py`
build other grammars from the same parts; `limits.py` bounds them all.
"""

from ragkit.grammar.actions import Action, ActionCall, ToolSpec, action_grammar
from ragkit.grammar.compiler import compile_grammar
from ragkit.grammar.grammar import Grammar, json_grammar
from ragkit.grammar.limits import Limits
from ragkit.grammar.plain_text import choice_grammar, regex_grammar
from ragkit.grammar.plans import Plan, PlanStep, StepReference, StepText, plan_grammar
from ragkit.grammar.quotes import Evidence, Quote, quote_grammar
from ragkit.grammar.schema.keywords import Finding
from ragkit.grammar.schema.lint import lint

__all__ = [
    "Action",
    "ActionCall",
    "Evidence",
    "Finding",
    "Grammar",
    "Limits",
    "Plan",
    "PlanStep",
    "Quote",
    "StepReference",
    "StepText",
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
