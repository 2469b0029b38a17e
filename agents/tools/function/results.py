"""The result of a tool: the text that the model is shown and the value that later steps use."""

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
    """Make a result of a string, a JSON value, a pydantic model, a dataclass or a `ToolResult`.

    Args:
        value: The value that the tool returned.
        max_chars: Maximum length of the text that the model is shown; the value stays whole.
        text: Text that the model is shown instead of the value itself.
        citations: The passages that it came from.

    Raises:
        ToolError: The value has no form in JSON.
    """
    if isinstance(value, ToolResult):
        shown, cut = trimmed(value.text, max_chars)
        return replace(value, text=shown, trimmed=value.trimmed or cut)
    plain = _json(value)
    if text is None and plain is None:
        text = _NOTHING
    elif text is None:
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    shown, cut = trimmed(text, max_chars)
    return ToolResult(text=shown, value=plain, trimmed=cut, citations=tuple(citations))


def trimmed(text: str, max_chars: int) -> tuple[str, bool]:
    """Cut a text to `max_chars`, with a mark at the cut; also tells if it was cut."""
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
