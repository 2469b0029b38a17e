from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest
from pydantic import BaseModel

from ragkit.agents.tools import FunctionTool, tool
from ragkit.core.errors import ToolError
from ragkit.core.types import Json, ToolResult


class Place(BaseModel):
    city: str
    country: str = "no"


@dataclass
class Rain:
    millimetres: float
    on: date


def _returning(value: object, *, max_chars: int = 8000) -> FunctionTool[[], object]:
    def give() -> object:
        """Give a value."""
        return value

    return tool(give, max_chars=max_chars)


@pytest.mark.parametrize(
    ("value", "text", "json"),
    [
        ("plain", "plain", "plain"),
        (None, "(done, no result)", None),
        ({"é": [1, 2.5, True]}, '{"é": [1, 2.5, true]}', {"é": [1, 2.5, True]}),
        (
            Place(city="Oslo"),
            '{"city": "Oslo", "country": "no"}',
            {"city": "Oslo", "country": "no"},
        ),
        (
            Rain(millimetres=1.5, on=date(2024, 5, 1)),
            '{"millimetres": 1.5, "on": "2024-05-01"}',
            {"millimetres": 1.5, "on": "2024-05-01"},
        ),
        ((Decimal("0.10"), {3}), '["0.10", [3]]', ["0.10", [3]]),
        (float("nan"), "NaN", "NaN"),
        ("a \ud800 half", "a \ufffd\ufffd\ufffd half", "a \ufffd\ufffd\ufffd half"),
    ],
)
async def test_results_are_shown_as_text_and_kept_as_json(
    value: object, text: str, json: Json
) -> None:
    result = await _returning(value).call({}, key="k")
    assert (result.text, result.value, result.trimmed) == (text, json, False)


async def test_a_long_result_is_cut_with_a_mark_and_its_value_stays_whole() -> None:
    items = [f"item {number}" for number in range(200)]
    result = await _returning(items, max_chars=300).call({}, key="k")
    assert result.trimmed
    assert len(result.text) <= 300
    assert result.text.startswith('["item 0", "item 1"')
    assert "[cut: 2,290 characters" in result.text
    assert result.value == items


async def test_a_result_without_a_form_in_json_is_the_tools_failure() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value in (object(), circle):
        with pytest.raises(ToolError, match="has no form in JSON"):
            await _returning(value).call({}, key="k")


async def test_a_function_may_make_its_tool_result_itself() -> None:
    made = ToolResult(text="x" * 500, value=[1])
    result = await _returning(made, max_chars=200).call({}, key="k")
    assert (len(result.text), result.value, result.trimmed) == (200, [1], True)
