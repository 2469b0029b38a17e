"""JSON Schemas of Python types, without the values that pydantic would refuse afterwards."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from ragkit.core.errors import InputError
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.schema.values import Json

_FLOAT_DIGITS = 15


class _TypeSchema(GenerateJsonSchema):  # the arguments are pydantic's core schemas: untyped dicts
    has_decimals = False

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """Write a decimal as a number with its digits, not as any string."""
        type(self).has_decimals = True
        found = super().decimal_schema(schema)
        numbers = [s for s in found.get("anyOf", [found]) if s.get("type") == "number"]
        number: JsonSchemaValue = dict(numbers[0])
        places, digits = schema.get("decimal_places"), schema.get("max_digits")
        if places is not None:
            number["multipleOf"] = float(Decimal(1).scaleb(-places)) if places else 1
        if digits is not None:
            most = 10.0 ** (digits - (places or 0))
            number.setdefault("exclusiveMaximum", most)
            number.setdefault("exclusiveMinimum", -most)
        return number

    def set_schema(self, schema: Any) -> JsonSchemaValue:
        """Write a set as a list, since repeated items vanish in the set."""
        return self._repeated(super().set_schema(schema))

    def frozenset_schema(self, schema: Any) -> JsonSchemaValue:
        """Write a set as a list, since repeated items vanish in the set."""
        return self._repeated(super().frozenset_schema(schema))

    def _repeated(self, found: JsonSchemaValue) -> JsonSchemaValue:
        if "minItems" not in found:
            found.pop("uniqueItems", None)
        return found

    def url_schema(self, schema: Any) -> JsonSchemaValue:
        """Write a URL with a host, as pydantic's URL types ask for."""
        return super().url_schema(schema) | {"format": "http-url"}


@dataclass(frozen=True, slots=True)
class DescribedType:
    """A Python type: its schema, and its values in replies."""

    schema: Json
    _adapter: TypeAdapter[Any]
    _has_decimals: bool

    def read(self, text: str) -> Any:
        """Read a value of the type.

        Raises:
            InputError: The type's own validators refuse the value.
        """
        try:
            # pydantic reads numbers as floats; a decimal keeps all its digits as a string.
            exact = json_text(json.loads(text, parse_float=_long)) if self._has_decimals else text
            return self._adapter.validate_json(exact)
        except ValidationError as error:
            raise InputError(f"The reply fails validation: {error}") from error


def _long(digits: str) -> str | float:
    return digits if len(digits) > _FLOAT_DIGITS else float(digits)


def described(kind: Any) -> DescribedType:
    """Return a type's JSON Schema and reader.

    Raises:
        InputError: pydantic cannot describe the type.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)

        class Generator(_TypeSchema):
            pass

        schema = adapter.json_schema(schema_generator=Generator)
        return DescribedType(schema, adapter, Generator.has_decimals)
    except PydanticUserError as error:
        raise InputError(
            f"{kind!r} cannot be described by a JSON Schema: {error}. Fix: use a type that "
            "pydantic can describe."
        ) from error
