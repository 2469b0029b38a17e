import json

import pytest

from benchmarks.comparison import SIDES, run_side, statements


@pytest.mark.parametrize("side", SIDES)
def test_every_side_does_the_same_tasks(side: str) -> None:
    assert list(statements(side)) == ["ask", "search", "agent"]


async def test_ragkits_side_cites_and_calls_after_approval() -> None:
    asked, called = await run_side("ragkit", "good", "ask agent", {})
    assert asked["result"][0] == "The warranty of lamps lasts three years."
    assert asked["result"][1] == [f"documents/warranty.txt: {asked['result'][0]}"]
    assert called["result"] == "Done: Order 2 is cancelled."


async def test_ragkits_side_calls_nothing_with_an_argument_of_the_wrong_type() -> None:
    (called,) = await run_side("ragkit", "wrong", "agent", {})
    assert "cancelled" not in json.dumps(called)
