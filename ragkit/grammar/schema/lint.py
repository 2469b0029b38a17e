"""`lint`: the treatment of each keyword of a schema."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from ragkit.grammar.grammar import json_grammar
from ragkit.grammar.schema.document import UnsupportedSchemaError, escape
from ragkit.grammar.schema.formats import FORMATS
from ragkit.grammar.schema.keywords import CHILD, CHILD_LIST, CHILD_MAP, KEYWORDS, Finding
from ragkit.grammar.schema.type_schema import described
from ragkit.grammar.schema.values import Json, is_array, is_object

_MAPS = CHILD_MAP | {"$defs", "definitions", "dependencies"}
_LISTS = CHILD_LIST | {"items"}


def lint(schema_or_type: Any) -> list[Finding]:
    """List the treatment of each keyword of a schema, in the order of the document.

    The place of a keyword matters: one that is usually enforced may only be checked after
    decoding, or refused, in a combination that a grammar cannot express.

    Args:
        schema_or_type: As for `json_grammar`.

    Raises:
        InputError: The schema is malformed or contradicts itself.
    """
    is_schema = isinstance(schema_or_type, dict | bool)
    schema: Json = cast(Json, schema_or_type) if is_schema else described(schema_or_type).schema
    special = {(finding.path, finding.keyword): finding for finding in _special(schema)}
    listed = [special.pop((f.path, f.keyword), f) for f in _walk(schema, "")]
    return [*listed, *special.values()]


def _special(schema: Json) -> tuple[Finding, ...]:
    try:
        return json_grammar(schema).checked
    except UnsupportedSchemaError as error:
        return (
            Finding(
                path=error.path, keyword=error.keyword, treatment="refused", reason=error.reason
            ),
        )


def _walk(schema: Json, path: str) -> Iterator[Finding]:
    if not is_object(schema):
        return
    for keyword, value in schema.items():
        yield _finding(keyword, value, path)
        where = f"{path}/{escape(keyword)}"
        if keyword in CHILD and is_object(value):
            yield from _walk(value, where)
        elif keyword in _LISTS and is_array(value):
            for index, child in enumerate(value):
                yield from _walk(child, f"{where}/{index}")
        elif keyword in _MAPS and is_object(value):
            for name, child in value.items():
                yield from _walk(child, f"{where}/{escape(name)}")


def _finding(keyword: str, value: Json, path: str) -> Finding:
    treatment, reason = KEYWORDS.get(keyword, ("annotation", "unknown keywords say nothing"))
    finding = Finding(path=path, keyword=keyword, treatment=treatment, reason=reason)
    if keyword == "format" and value not in FORMATS:
        return replace(finding, treatment="annotation", reason=f"{value!r} is not decoded as such")
    return finding
