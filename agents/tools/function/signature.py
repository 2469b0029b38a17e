"""The schema and description of a tool, read from a function's signature and docstring."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NewType, cast, get_type_hints

import docstring_parser
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json
from ragkit.grammar import json_grammar

IdempotencyKey = NewType("IdempotencyKey", str)
"""Annotates the parameter that receives the call's key; the model does not see it."""

NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The arguments of a function and their description for a model.

    Attributes:
        name: The name that the model calls it by.
        description: A description of what it does and returns, from the docstring.
        parameters: JSON Schema of its arguments.
        keys: The parameters that receive the call's key.
        positional: The parameters that are passed by position only.
    """

    name: str
    description: str
    parameters: Mapping[str, Json]
    keys: tuple[str, ...]
    positional: tuple[str, ...]
    _model: type[BaseModel]

    def bind(self, arguments: Mapping[str, Json], key: str) -> tuple[list[Any], dict[str, Any]]:
        """Validate arguments and return the positional and keyword arguments of a call.

        Raises:
            ToolError: The arguments don't follow the schema; the message says which and why.
        """
        try:
            read = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(f"Wrong arguments: {complaint(error)}") from error
        fields = type(read).model_fields
        given = {str(field.alias): getattr(read, name) for name, field in fields.items()}
        given |= dict.fromkeys(self.keys, IdempotencyKey(key))
        return [given.pop(name) for name in self.positional], given


def complaint(error: ValidationError) -> str:
    """Format a validation error in one line that a model can act upon."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
        + ("" if item["type"] == "missing" else f", got {item['input']!r:.80}")
        for item in error.errors(include_url=False)
    )


def signature_of(
    function: Callable[..., object], *, name: str | None = None, description: str | None = None
) -> Signature:
    """Read a function; `name` and `description` replace its own.

    Raises:
        InputError: It cannot be a tool; the message names function, argument and fix.
    """
    name = name or str(getattr(function, "__name__", type(function).__name__))
    if not NAME.fullmatch(name):
        raise InputError(
            f"The tool name {name!r} is not valid. Fix: use up to 64 letters, digits and _."
        )
    hints = _hints(function, name)
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        _check_kind(parameter, hints, name)
    keys = tuple(item for item in parameters if hints[item] is IdempotencyKey)
    shown = {item: parameter for item, parameter in parameters.items() if item not in keys}
    documented, about = _documentation(function, name)
    if not (description or documented):
        raise InputError(
            f"The tool {name!r} has no docstring. Fix: add one; the model chooses tools by it."
        )
    fields = [
        _field(parameter, hints[item], about.get(item), name) for item, parameter in shown.items()
    ]
    # Fields have names of our own: an argument may be called `schema`, `json` or `_x`.
    definitions: dict[str, Any] = {
        f"argument_{position}": field for position, field in enumerate(fields)
    }
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **definitions)
    schema = model.model_json_schema(schema_generator=_UntitledSchema)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return Signature(
        name=name,
        description=description or documented,
        parameters=cast(Mapping[str, Json], schema),
        keys=keys,
        positional=tuple(p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY),
        _model=model,
    )


def _hints(function: Callable[..., object], name: str) -> dict[str, Any]:
    plain = inspect.isroutine(function) or inspect.isclass(function)
    annotated: Any = function if plain else type(function).__call__
    try:
        return get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError) as error:
        raise InputError(
            f"The annotations of the tool {name!r} cannot be read: {error}. "
            "Fix: define the types that they name in its module."
        ) from error


def _check_kind(parameter: inspect.Parameter, hints: Mapping[str, Any], name: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise InputError(
            f"The tool {name!r} takes {parameter}, which has no schema. Fix: name each argument."
        )
    if parameter.name not in hints:
        raise InputError(
            f"The argument {parameter.name!r} of the tool {name!r} has no type. Fix: annotate it."
        )


def _documentation(function: Callable[..., object], name: str) -> tuple[str, dict[str, str]]:
    try:
        read = docstring_parser.parse(
            inspect.getdoc(function) or "", docstring_parser.DocstringStyle.GOOGLE
        )
    except docstring_parser.ParseError as error:
        raise InputError(f"The docstring of the tool {name!r} cannot be read: {error}") from error
    about = {item.arg_name: " ".join((item.description or "").split()) for item in read.params}
    unknown = sorted(set(about) - set(inspect.signature(function).parameters))
    if unknown:
        raise InputError(
            f"The docstring of the tool {name!r} describes {unknown[0]!r}, not an argument."
        )
    returns = f"\nReturns: {read.returns.description}" if read.returns else ""
    return f"{read.description or ''}{returns}", about


def _field(
    parameter: inspect.Parameter, hint: Any, about: str | None, name: str
) -> tuple[Any, Any]:
    try:
        json_grammar(TypeAdapter(hint).json_schema(schema_generator=_UntitledSchema))
    except (PydanticUserError, InputError) as error:
        raise InputError(
            f"The argument {parameter.name!r} of the tool {name!r} has a type that a model cannot "
            f"be asked for, {hint!r}: {error}"
        ) from error
    described: dict[str, Any] = {"description": about} if about else {}
    if parameter.default is not _EMPTY:
        described["default"] = parameter.default
    return hint, Field(alias=parameter.name, **described)


class _UntitledSchema(GenerateJsonSchema):
    """JSON Schema without titles, which repeat names, and without defaults that are no JSON."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - as pydantic declares it
        "skipped-choice",
        "non-serializable-default",
    }

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: no field has a title."""
        return False
