"""What a tool returned, as the model is shown it and as later steps refer to it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json

from ragkit.core.errors import ToolError
from ragkit.core.types import Citation, Json, ToolResult

_NOTHING = "(done, no result)"


def tool_result(
    value: object, *, max_chars: int, text: str | None = None, citations: Sequence[Citation] = ()
) -> ToolResult:
    """A result of a string, a JSON value, a pydantic model, a dataclass or a `ToolResult`.

    Args:
        value: What the tool returned.
        max_chars: Length of the text that the model is shown; the value stays whole.
        text: What the model is shown instead of the value itself.
        citations: The passages that it came from.

    Raises:
        ToolError: The value has no form in JSON.
    """
    if isinstance(value, ToolResult):
        shown, cut = trimmed(value.text, max_chars)
        return replace(value, text=shown, trimmed=value.trimmed or cut)
    plain = _json(value)
    shown, cut = trimmed(_text(plain) if text is None else text, max_chars)
    return ToolResult(text=shown, value=plain, trimmed=cut, citations=tuple(citations))


def trimmed(text: str, max_chars: int) -> tuple[str, bool]:
    """The text within `max_chars`, with a mark where the rest was cut off; whether it was cut."""
    if len(text) <= max_chars:
        return text, False
    mark = f"\n[cut: {len(text):,} characters, the first {max_chars:,} at most are shown]"
    return text[: max(0, max_chars - len(mark))] + mark[-max_chars:], True


def _json(value: object) -> Json:
    if isinstance(value, str):
        # A lone surrogate could neither be stored nor sent.
        return value.encode(errors="surrogatepass").decode(errors="replace")
    try:
        plain: Any = json.loads(to_json(value, inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise ToolError(
            f"It returned a {type(value).__name__} that has no form in JSON: {error}"
        ) from error
    return cast(Json, plain)


def _text(value: Json) -> str:
    if value is None:
        return _NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
