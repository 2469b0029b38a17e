"""`@tool`: a typed function, with the schema of its arguments and the limits of its calls."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Any,
    Generic,
    NewType,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_origin,
    get_type_hints,
    overload,
)

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

from ragkit.agents.tools.function.runner import Policy, Runner, tool_result
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json, Permission, ToolResult
from ragkit.grammar import json_grammar

P = ParamSpec("P")
R = TypeVar("R")
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
        runtimes: The parameters that receive LangGraph's runtime, with the context of the run.
        positional: The parameters that are passed by position only.
    """

    name: str
    description: str
    parameters: Mapping[str, Json]
    keys: tuple[str, ...]
    runtimes: tuple[str, ...]
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
        if self.runtimes:
            given |= dict.fromkeys(self.runtimes, _runtime(self.name))
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
    runtimes = tuple(item for item in parameters if _is_runtime(hints[item]))
    hidden = {*keys, *runtimes}
    shown = {item: parameter for item, parameter in parameters.items() if item not in hidden}
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
        runtimes=runtimes,
        positional=tuple(p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY),
        _model=model,
    )


def _is_runtime(hint: object) -> bool:
    kind: Any = get_origin(hint) or hint
    where = getattr(kind, "__module__", ""), getattr(kind, "__qualname__", "")
    return where == ("langgraph.runtime", "Runtime")  # by name: importing it takes long


def _runtime(name: str) -> object:
    from langgraph.runtime import get_runtime

    try:
        return get_runtime()
    except (RuntimeError, KeyError) as error:
        raise ToolError(
            f"{name} needs the runtime of LangGraph. Fix: call it in the run of an agent."
        ) from error


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool(Generic[P, R]):
    """A `Tool` made of a function by `tool`; called as a function, it is still the function."""

    function: Callable[P, R]
    signature: Signature
    runner: Runner

    @property
    def name(self) -> str:
        """The name that the model calls it by."""
        return self.signature.name

    @property
    def description(self) -> str:
        """A description of what it does and returns, from the docstring."""
        return self.signature.description

    @property
    def parameters(self) -> Mapping[str, Json]:
        """JSON Schema of its arguments."""
        return self.signature.parameters

    @property
    def permission(self) -> Permission:
        """The permission that a call needs."""
        return self.runner.policy.permission

    @property
    def repeatable(self) -> bool:
        """True if a call that was interrupted may be made again, with the same key."""
        return self.runner.policy.repeatable or bool(self.signature.keys)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, without limits."""
        return self.function(*args, **kwargs)

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`.

        Raises:
            ToolError: The arguments are wrong, the function raised, or it took too long.
        """
        args, kwargs = self.signature.bind(arguments, key)
        bound: Callable[[], object] = functools.partial(self.function, *args, **kwargs)
        value = await self.runner.run(bound, asynchronous=_is_async(self.function))
        return tool_result(value, max_chars=self.runner.policy.max_chars)


def _is_async(function: Callable[..., object]) -> bool:
    called: object = getattr(function, "__call__", None)  # noqa: B004 - of a callable object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


class ToolOptions(TypedDict, total=False):
    """Options of `tool`.

    Attributes:
        name: The name that the model calls it by; the function's own name by default.
        description: A description for the model to choose by; from the docstring by default.
        timeout_s: Seconds for one attempt, including the wait for a free slot; 30 by default. A
            sync function that takes longer keeps running in its thread, its result is dropped,
            and it keeps its slot until it ends.
        retries: Attempts after the first one, on a timeout or an error whose attribute
            `retryable` is true; 0 by default. Refused where repeating a call could do harm.
        max_chars: Maximum length of the text that the model is shown; 8,000 by default.
        concurrency: Calls that run at the same time, over all threads and loops; 8 by default.
        permission: `"read"` (the default) only reads, `"write"` changes something, `"approve"`
            needs a person's approval for each call.
        idempotent: True if the same call made twice has the effect of one; by default true only
            for `"read"`.
    """

    name: str
    description: str
    timeout_s: float
    retries: int
    max_chars: int
    concurrency: int
    permission: Permission
    idempotent: bool


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> FunctionTool[P, R]: ...
@overload
def tool(
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a tool of a typed function, sync (it runs in a thread) or async.

    The signature gives the arguments' schema, the docstring (Google style) the descriptions. A
    parameter annotated `IdempotencyKey` receives the key of the call, one annotated
    `langgraph.runtime.Runtime[...]` the runtime with the context of the run; the model sees
    neither. The function may return a string, a JSON value, a pydantic model or a dataclass;
    whatever it raises becomes a `ToolError` whose message the model is shown.

    ```python
    @tool(timeout_s=5, retries=2)
    def rainfall(city: str, year: int = 2024) -> float:
        \"\"\"Rain of a year in millimetres.\"\"\"
    ```

    Args:
        function: The function.
        options: See `ToolOptions`.

    Raises:
        InputError: The function cannot be a tool, an option is unknown, or options contradict
            each other; the message names function and argument.
    """
    if function is None:
        return functools.partial(_function_tool, options=options)
    return _function_tool(function, options)


def _function_tool(function: Callable[P, R], options: ToolOptions) -> FunctionTool[P, R]:
    limits = dict(options)
    signature = signature_of(
        function, name=options.get("name"), description=options.get("description")
    )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(
            f"The tool {signature.name!r} is a generator, which is not supported. "
            "Fix: return a list."
        )
    for described in ("name", "description"):
        limits.pop(described, None)
    if unknown := sorted(limits.keys() - ToolOptions.__optional_keys__):
        raise InputError(
            f"The tool {signature.name!r} has an unknown option {unknown[0]!r}. "
            f"Fix: use one of {', '.join(sorted(ToolOptions.__optional_keys__))}."
        )
    try:
        policy = Policy(**limits)  # type: ignore[arg-type]  # the options of `ToolOptions`
    except InputError as error:
        raise InputError(f"The tool {signature.name!r} cannot be defined: {error}") from error
    return FunctionTool(function=function, signature=signature, runner=Runner.of(policy))
