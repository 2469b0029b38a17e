"""The kind of a question, which decides the shape of its answer, by rules over English wording."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

QuestionKind: TypeAlias = Literal["fact", "boolean", "steps", "comparison", "list", "explanation"]
"""A short answer, yes or no, instructions, a difference, several things, or sentences."""

_PARTS: Mapping[str, str] = {
    "auxiliary": "is|are|was|were|do|does|did|can|could|should|would|will|has|have|had|must|may",
    "modal": "do|can|could|should|would|must|might|may|shall",
    "asker": "i|we|you|one|a|an|the users?",
    "attribute": (
        "name|number|size|length|height|width|weight|age|date|year|time|price|cost|rate|limit|port|"
        "version|value|default|maximum|minimum|max|min|capital|population|total|amount|duration|"
        "timeout|path|url|address|license|licence|type|format|unit|code|title|colou?r|location|"
        "language|currency|score|percentage|first|last|only|largest|biggest|smallest|longest|"
        "highest|lowest|oldest|newest|latest|best|most|term|word|synonym|abbreviation|acronym|symbol"
    ),
    "purpose": (
        "purpose|reason|role|meaning|effect|impact|idea|point|goal|use|benefits?|advantages?|"
        "significance|relationship"
    ),
    "several": "two|three|four|five|six|main|key|different|various|possible|available",
}
_RULES: Sequence[tuple[QuestionKind, str]] = (
    ("explanation", r"^when (?:to|{modal}|does|is it|are they)\b"),
    ("fact", r"^(?:who|whom|whose|when)\b"),
    ("comparison", r"\b(?:differences?|differs?|compared?|comparison|versus|vs)\b"),
    ("fact", r"^how (?:many|much|long|old|far|often|tall|big|large|fast|high|deep|wide|soon)\b"),
    ("steps", r"^how (?:to|can|(?:{modal}) (?:{asker}))\b"),
    ("steps", r"^what(?:'s| is) the (?:\w+ )?(?:way|command|syntax|procedure) (?:to|for)\b"),
    ("steps", r"^what (?:do|should|must) (?:i|we|you) (?:do|run|install|write|type|call)\b"),
    ("steps", r"\b(?:steps|instructions|examples?|sample) (?:to|for|of|on)\b"),
    ("steps", r"^where (?:{modal}) (?:i|we|you) (?!(?:find|get|see)\b)"),
    ("list", r"^(?:list|name|enumerate|give|which|what) (?:all|the (?:{several}))\b"),
    ("explanation", r"^what (?:are|were) (?:[\w.-]+ ){{1,6}}(?:used |good )?for\b\W*$"),
    ("list", r"^(?:what|which) (?:are|were)\b"),
    ("list", r"^(?:what|which) (?:\w+ ){{0,2}}\w+[^s\W]s (?:{auxiliary})\b"),
    ("list", r"^(?:list|enumerate|name)\b"),
    ("explanation", r"^(?:why|explain|describe|how|summari[sz]e|tell me)\b"),
    ("explanation", r"^what (?:happens|happened|would happen|causes|caused)\b"),
    ("explanation", r"^what(?:'s| is| was) the (?:{purpose})\b"),
    ("fact", r"^what(?:'s| is| was) (?:the |an? |your |its )?(?:[\w'-]+ ){{0,3}}(?:{attribute})\b"),
    ("explanation", r"^what(?:'s| is) (?:[\w.-]+ ){{1,6}}(?:used |good )?for\b\W*$"),
    ("fact", r"^what(?:'s| is) (?:\w+ )*(?:of|in|on|at|by)\b"),
    ("explanation", r"^what(?:'s| is)\b"),
    ("fact", r"^what did\b"),
    ("fact", r"^what (?:does|do) .+ (?:returns?|cost|weigh|require|need|equal|mean)\b\W*$"),
    ("explanation", r"^what (?:does|do|can|could|should|would|will)\b"),
    ("fact", r"^(?:(?:at|in|on|by|to|from|for) )?(?:who|whom|whose|when|where|which|what)\b"),
    ("boolean", r"^(?:{auxiliary})\b"),
    ("fact", r"\b(?:who|when|where|which|what|how many|how much)\b"),
)
"""The first rule that fits decides."""

_COMPILED: Sequence[tuple[QuestionKind, re.Pattern[str]]] = [
    (kind, re.compile(pattern.format(**_PARTS))) for kind, pattern in _RULES
]
_OPENING = re.compile(r"(?:please|so|and|but|ok|hi|hello|hey)[, ]+")
_REQUEST = re.compile(r"(?:can|could|would) you (?:please )?(?:tell|show|explain to) (?:me|us) ")

WITH_SPAN: frozenset[QuestionKind] = frozenset({"fact"})
"""Kinds whose answer is a short span in a sentence."""


def question_kind(question: str) -> QuestionKind:
    """Return the kind of a question; words that are no question ask for an explanation."""
    asked = " ".join(question.lower().replace("\u2019", "'").split()).lstrip("¿\"'(")
    asked = _REQUEST.sub("", _OPENING.sub("", asked, count=1), count=1)
    for kind, rule in _COMPILED:
        if rule.search(asked):
            return kind
    return "explanation"
