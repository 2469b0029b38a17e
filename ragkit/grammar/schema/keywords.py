"""The treatment of each JSON Schema keyword, as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Treatment: TypeAlias = Literal["enforced", "checked", "refused", "annotation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The treatment of the keyword at `path` (a JSON pointer), and its reason."""

    path: str
    keyword: str
    treatment: Treatment
    reason: str


_ASSERTIONS: dict[str, tuple[Treatment, str]] = {
    "type": ("enforced", "integers are written without a fraction"),
    "enum": ("enforced", "values are written as in the schema"),
    "const": ("enforced", "the value is written as in the schema"),
    "minLength": ("enforced", "in code points"),
    "maxLength": ("enforced", "in code points; lowered to Limits.string_length"),
    "pattern": ("enforced", "bounded by the length limits"),
    "format": ("enforced", "the formats below; `regex` is checked, others are annotations"),
    "minimum": ("enforced", "digit by digit"),
    "maximum": ("enforced", "digit by digit"),
    "exclusiveMinimum": ("enforced", "digit by digit, at 15 significant digits"),
    "exclusiveMaximum": ("enforced", "digit by digit, at 15 significant digits"),
    "multipleOf": ("enforced", "in exact decimal arithmetic; refused where the step is too long"),
    "properties": ("enforced", "in the order of the schema"),
    "required": ("enforced", ""),
    "additionalProperties": ("enforced", "entries after the declared ones, up to the limits"),
    "patternProperties": ("enforced", "entries after the declared ones, up to the limits"),
    "propertyNames": ("enforced", ""),
    "minProperties": ("enforced", "a reply may still repeat a key of a free map"),
    "maxProperties": ("enforced", ""),
    "dependentRequired": ("enforced", "by case"),
    "dependentSchemas": ("enforced", "by case"),
    "dependencies": ("enforced", "as dependentRequired and dependentSchemas"),
    "items": ("enforced", ""),
    "prefixItems": ("enforced", ""),
    "additionalItems": ("enforced", ""),
    "minItems": ("enforced", ""),
    "maxItems": ("enforced", "lowered to Limits.items"),
    "contains": ("enforced", "one per array; further ones are checked"),
    "minContains": ("enforced", ""),
    "maxContains": ("enforced", "where the contained schema can be negated, else checked"),
    "uniqueItems": ("enforced", "for items from a finite set, else checked"),
    "allOf": ("enforced", "by merging"),
    "anyOf": ("enforced", ""),
    "oneOf": ("enforced", "where branches are disjoint or can be negated, else checked"),
    "not": ("enforced", "where it can be negated keyword by keyword, else checked"),
    "if": ("enforced", "where it can be negated keyword by keyword, else checked"),
    "then": ("enforced", ""),
    "else": ("enforced", ""),
    "$ref": ("enforced", "within the document; recursion up to Limits.depth, not in place"),
    "$dynamicRef": ("refused", "its target depends on the path of evaluation"),
    "$recursiveRef": ("refused", "its target depends on the path of evaluation"),
    "unevaluatedProperties": ("enforced", "checked too where other schemas hold beside it"),
    "unevaluatedItems": ("enforced", "checked too where other schemas hold beside it"),
    "extends": ("refused", "draft 3; use allOf"),
    "disallow": ("refused", "draft 3; use not"),
    "divisibleBy": ("refused", "draft 3; use multipleOf"),
}
_ANNOTATIONS = (
    "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$vocabulary", "$comment", "$defs",
    "definitions", "title", "description", "default", "examples", "deprecated", "readOnly",
    "writeOnly", "contentEncoding", "contentMediaType", "contentSchema",
)  # fmt: skip
_SAYS_NOTHING: tuple[Treatment, str] = ("annotation", "says nothing about the value")
KEYWORDS: Mapping[str, tuple[Treatment, str]] = {
    **_ASSERTIONS,
    **dict.fromkeys(_ANNOTATIONS, _SAYS_NOTHING),
}
"""Keyword to treatment and its conditions; unknown keywords are annotations by specification."""

CHILD = frozenset(
    {
        "additionalProperties",
        "propertyNames",
        "items",
        "additionalItems",
        "contains",
        "unevaluatedProperties",
        "unevaluatedItems",
        "not",
        "if",
        "then",
        "else",
    }
)
"""Keywords whose value is a schema."""
CHILD_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""
CHILD_MAP = frozenset({"properties", "patternProperties", "dependentSchemas"})
"""Keywords whose value maps names to schemas."""

IN_PLACE = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
)
"""Keywords whose schemas hold for the same value."""


def is_assertion(keyword: str) -> bool:
    """Return whether the keyword constrains the value."""
    return KEYWORDS.get(keyword, _SAYS_NOTHING)[0] != "annotation"
