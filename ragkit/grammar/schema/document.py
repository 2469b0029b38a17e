"""A schema document: its sub-schemas by JSON pointer, with older drafts' spellings translated.

Inside the compiler, a schema is known by its pointer, and a `Keywords` mapping holds pointers
where the document holds sub-schemas. Synthetic schemas (the negation of a keyword, for
example) get pointers that start with `~`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast
from urllib.parse import unquote

from ragkit.core.errors import InputError
from ragkit.grammar.schema.keywords import CHILD, CHILD_LIST, CHILD_MAP, KEYWORDS
from ragkit.grammar.schema.values import Json, is_array, is_object

Keywords: TypeAlias = Mapping[str, Any]

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NOT_SCHEMAS = frozenset({"enum", "const", "default", "examples"})
_LEGACY = re.compile(r"draft-0[1-7]")


def escape(name: str) -> str:
    """Escape a name as a reference token of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


class UnsupportedSchemaError(InputError):
    """A keyword cannot be honoured; `path` is the JSON pointer of the schema that holds it."""

    def __init__(self, path: str, keyword: str, reason: str) -> None:
        """Name the keyword, its place and the reason."""
        super().__init__(
            f"The schema's keyword {keyword!r} at {path or '/'!r} cannot be decoded under a "
            f"grammar: {reason}. Fix: remove or rewrite the keyword."
        )
        self.path, self.keyword, self.reason = path, keyword, reason


class Source:
    """Reads a schema document by pointers."""

    def __init__(self, root: Json) -> None:
        """Index the document's identifiers."""
        if not (is_object(root) or isinstance(root, bool)):
            raise InputError(f"A JSON Schema is an object or a boolean, not {root!r:.200}.")
        self.root = root
        dialect = root.get("$schema") if is_object(root) else None
        self.legacy = bool(isinstance(dialect, str) and _LEGACY.search(dialect))
        self._made: dict[str, Keywords] = {}
        self._made_as: dict[str, str] = {}
        self._read: dict[str, Keywords | bool] = {}
        self._names = dict(_identifiers(root, ""))

    def make(self, **keywords: Json) -> str:
        """Return the pointer of a synthetic schema; its children are pointers already."""
        key = repr(sorted(keywords.items()))
        if key not in self._made_as:
            pointer = f"~{len(self._made)}"
            self._made[pointer] = keywords
            self._made_as[key] = pointer
        return self._made_as[key]

    def keywords(self, pointer: str) -> Keywords | bool:
        """Return the keywords of the schema there.

        Raises:
            InputError: It is no schema, or has a keyword that is refused.
        """
        if pointer.startswith("~"):
            return self._made.get(pointer, True)
        if pointer not in self._read:
            self._read[pointer] = self._translate(pointer)
        return self._read[pointer]

    def raw(self, pointer: str) -> Json:
        """Return the value in the document there."""
        value: Json = self.root
        for token in pointer.split("/")[1:]:
            token = token.replace("~1", "/").replace("~0", "~")
            value = value[int(token) if is_array(value) else token]
        return value

    def _translate(self, pointer: str) -> Keywords | bool:
        value = self.raw(pointer)
        if isinstance(value, bool):
            return value
        if not is_object(value):
            raise InputError(f"A schema is expected at {pointer!r}, not {value!r}.")
        if "$ref" in value and self.legacy:
            return {"$ref": self._target(value["$ref"], pointer)}
        for keyword in value:
            treatment, reason = KEYWORDS.get(keyword, ("annotation", ""))
            if treatment == "refused":
                raise UnsupportedSchemaError(pointer, keyword, reason)
        names = value.get("type", [])
        for name in [names] if isinstance(names, str) else names:
            if name not in _TYPES:
                raise UnsupportedSchemaError(pointer, "type", f"{name!r} is not a JSON type")
        found = _modern(value)
        self._point(found, pointer)
        return found

    def _point(self, found: dict[str, Json], pointer: str) -> None:
        """Replace sub-schemas with their pointers."""
        for keyword, value in found.items():
            where = f"{pointer}/{keyword}"
            if keyword == "$ref":
                found[keyword] = self._target(value, pointer)
            elif keyword in CHILD and not isinstance(value, _Elsewhere):
                found[keyword] = where
            elif keyword in CHILD_LIST and not isinstance(value, _Elsewhere):
                _expect(value, list, where)
                found[keyword] = [f"{where}/{index}" for index in range(len(value))]
            elif keyword in CHILD_MAP:
                _expect(value, dict, where)
                found[keyword] = _point_map(cast(Json, value), pointer, where)
        for keyword, value in found.items():
            if isinstance(value, _Elsewhere):
                found[keyword] = value.resolve(pointer)

    def _target(self, reference: Json, pointer: str) -> str:
        if not isinstance(reference, str):
            raise UnsupportedSchemaError(pointer, "$ref", f"{reference!r} is not a reference")
        base, _, fragment = reference.partition("#")
        start = self._names.get(base) if base else ""
        target = unquote(fragment)
        if start is not None and target and not target.startswith("/"):
            start, target = self._names.get(f"#{target}"), ""
        if start is None:
            raise UnsupportedSchemaError(pointer, "$ref", f"{reference!r} is not in this document")
        try:
            self.raw(start + target)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UnsupportedSchemaError(
                pointer, "$ref", f"{reference!r} does not exist"
            ) from error
        return start + target


class _Elsewhere:
    """A child schema that older drafts keep elsewhere."""

    def __init__(self, path: str, count: int | None = None) -> None:
        self.path, self.count = path, count

    def resolve(self, pointer: str) -> str | list[str]:
        """Return the pointer, or one for each item of the list there."""
        where = f"{pointer}/{self.path}"
        return where if self.count is None else [f"{where}/{i}" for i in range(self.count)]


def _point_map(value: Mapping[str, Json], pointer: str, where: str) -> dict[str, Json]:
    return {
        name: child.resolve(pointer) if isinstance(child, _Elsewhere) else f"{where}/{escape(name)}"
        for name, child in value.items()
    }


def _expect(value: Json, kind: type, where: str) -> None:
    if not isinstance(value, kind):
        raise InputError(f"The schema's value at {where!r} is malformed: {value!r}.")


def _modern(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Translate the keywords into those of draft 2020-12."""
    found = dict(schema)
    if is_array(items := found.get("items")):
        found["prefixItems"] = _Elsewhere("items", len(items))
        del found["items"]
        if "additionalItems" in found:
            found["items"] = _Elsewhere("additionalItems")
    found.pop("additionalItems", None)
    for bound in ("Minimum", "Maximum"):
        if isinstance(is_open := found.get(f"exclusive{bound}"), bool):
            del found[f"exclusive{bound}"]
            if is_open and bound.lower() in found:
                found[f"exclusive{bound}"] = found.pop(bound.lower())
    _split_dependencies(found)
    return found


def _split_dependencies(found: dict[str, Json]) -> None:
    dependencies = found.pop("dependencies", None)
    if not is_object(dependencies):
        return
    for name, needs in dependencies.items():
        if is_array(needs) or isinstance(needs, str):
            names: list[Json] = needs if is_array(needs) else [needs]
            found["dependentRequired"] = {**found.get("dependentRequired", {}), name: names}
        else:
            at = _Elsewhere(f"dependencies/{escape(name)}")
            found["dependentSchemas"] = {**found.get("dependentSchemas", {}), name: at}


def _identifiers(value: Json, pointer: str) -> Iterator[tuple[str, str]]:
    if is_object(value):
        yield from _own_identifiers(value, pointer)
        for name, child in value.items():
            if name not in _NOT_SCHEMAS:
                yield from _identifiers(child, f"{pointer}/{escape(name)}")
    elif is_array(value):
        for index, child in enumerate(value):
            yield from _identifiers(child, f"{pointer}/{index}")


def _own_identifiers(schema: Mapping[str, Json], pointer: str) -> Iterator[tuple[str, str]]:
    for keyword in ("$id", "id"):
        if isinstance(name := schema.get(keyword), str):
            yield name if name.startswith("#") else name.rstrip("#"), pointer
    if isinstance(anchor := schema.get("$anchor"), str):
        yield f"#{anchor}", pointer


def children(keywords: Keywords | bool) -> Iterator[str]:
    """Yield the pointers that a schema refers to."""
    if isinstance(keywords, bool):
        return
    for keyword, value in keywords.items():
        if keyword in CHILD or keyword == "$ref":
            yield value
        elif keyword in CHILD_LIST:
            yield from value
        elif keyword in CHILD_MAP:
            yield from value.values()
