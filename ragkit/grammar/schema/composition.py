"""Composing JSON Schemas: objects of given properties, and a schema as a part of another one."""

from collections.abc import Mapping

from ragkit.grammar.schema.values import Json, is_array, is_object

_DEFINITIONS = ("#/$defs/", "#/definitions/")


def object_schema(**properties: Json) -> dict[str, Json]:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def embedded(schema: Mapping[str, Json], *, scope: str, into: dict[str, Json]) -> dict[str, Json]:
    """Return a schema as it stands within another one.

    Args:
        schema: The schema; its references are within itself.
        scope: The beginning of the names of its definitions.
        into: The other schema's `$defs`, to which its definitions are added.
    """
    part = _Part(scope)
    rest = {key: value for key, value in schema.items() if key not in {"$defs", "definitions"}}
    for key in ("$defs", "definitions"):
        for name, definition in dict(schema.get(key, {})).items():
            into[f"{scope}.{name}"] = part.moved(definition)
    found: dict[str, Json] = part.moved(rest)
    if part.whole:
        into[scope] = part.moved(dict(schema))
    return found


class _Part:
    """A schema whose references are rewritten; `whole` once one is not to a definition."""

    def __init__(self, scope: str) -> None:
        self._pointer = f"#/$defs/{scope.replace('~', '~0').replace('/', '~1')}"
        self.whole = False

    def moved(self, value: Json) -> Json:
        if is_array(value):
            return [self.moved(item) for item in value]
        if not is_object(value):
            return value
        return {
            key: self._target(item) if key == "$ref" and isinstance(item, str) else self.moved(item)
            for key, item in value.items()
        }

    def _target(self, ref: str) -> str:
        for prefix in _DEFINITIONS:
            if ref.startswith(prefix) and "/" not in ref[len(prefix) :]:
                return f"{self._pointer}.{ref[len(prefix) :]}"
        if ref == "#" or ref.startswith("#/"):
            self.whole = True
            return f"{self._pointer}{ref[1:]}"
        return ref  # of another document, or to an anchor, which moves with its schema
