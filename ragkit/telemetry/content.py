"""The texts of operations as attributes of spans, in the forms of both conventions."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from ragkit.core.types import Json
from ragkit.telemetry.names import CONTENT

_CUT = "…"


def genai_content(name: str, value: Json) -> Iterator[tuple[str, str]]:
    """Yield a content as GenAI has it: a text as it is, everything else as JSON."""
    if name in {"messages", "reply"}:
        value = [
            {
                "role": message["role"],
                "parts": [{"type": "text", "content": message["content"]}],
            }
            for message in cast("list[dict[str, Json]]", value)
        ]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    yield CONTENT[name].genai, text


def openinference_content(name: str, value: Json) -> Iterator[tuple[str, str | float]]:
    """Yield a content as OpenInference has it, where each field of a list is an attribute."""
    prefix = CONTENT[name].openinference
    if name in {"messages", "reply"}:
        for place, message in enumerate(cast("list[dict[str, str]]", value)):
            yield f"{prefix}.{place}.message.role", message["role"]
            yield f"{prefix}.{place}.message.content", message["content"]
    elif name == "documents":
        for place, document in enumerate(cast("list[dict[str, str | float]]", value)):
            start = f"{prefix}.{place}.document"
            for field in ("id", "score", "content"):
                yield f"{start}.{field}", document[field]
            yield f"{start}.metadata", json.dumps({"uri": document["uri"]}, ensure_ascii=False)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield prefix, text


def shortened(value: Json, hidden: Callable[[str], str], *, characters: int) -> Json:
    """Return a JSON value whose texts are without secrets, and cut after so many characters."""
    if isinstance(value, str):
        text = hidden(value)
        return text if len(text) <= characters else text[:characters] + _CUT
    if isinstance(value, Mapping):
        return {key: shortened(one, hidden, characters=characters) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one, hidden, characters=characters) for one in value]
    return value
