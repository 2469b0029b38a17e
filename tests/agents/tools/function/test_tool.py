import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.constants import START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field

from ragkit.agents.tools import FunctionTool, IdempotencyKey, tool
from ragkit.core.errors import InputError, ProviderError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult
from ragkit.testing.tool_contract import ToolContract


class Place(BaseModel):
    city: str
    country: Literal["no", "se"] = "no"


@dataclass
class Rain:
    millimetres: float
    on: date


@tool
def rainfall(place: Place, years: list[int], exact: bool = False) -> Rain:
    """Rain of some years.

    From the weather stations
    of the north.

    Args:
        place: Where it fell,
            by its English name.
        years: From 1950 on.
        exact: To the tenth.

    Returns:
        Millimetres and the date of the reading.
    """
    return Rain(millimetres=len(place.city) + sum(years) / 10, on=date(2024, 5, 1))


@tool
async def double(number: int) -> int:
    """Twice a number."""
    await asyncio.sleep(0)
    return 2 * number


class TestSyncFunction(ToolContract):
    def make_tool(self) -> Tool:
        return rainfall

    def arguments(self) -> Mapping[str, Json]:
        return {"place": {"city": "Oslo"}, "years": [1950, 1960]}


class TestAsyncFunction(ToolContract):
    def make_tool(self) -> Tool:
        return double

    def arguments(self) -> Mapping[str, Json]:
        return {"number": 4}


# What the model is told


def test_name_description_and_schema_come_from_signature_and_docstring() -> None:
    assert rainfall.name == "rainfall"
    assert rainfall.description == (
        "Rain of some years.\n\nFrom the weather stations\nof the north.\n"
        "Returns: Millimetres and the date of the reading."
    )
    assert rainfall.parameters["required"] == ["place", "years"]
    assert rainfall.parameters["additionalProperties"] is False
    assert rainfall.parameters["properties"] == {
        "place": {
            "$ref": "#/$defs/Place",
            "description": "Where it fell, by its English name.",
        },
        "years": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "From 1950 on.",
        },
        "exact": {"type": "boolean", "default": False, "description": "To the tenth."},
    }


def test_an_annotation_may_bound_and_describe_an_argument() -> None:
    @tool
    def pick(number: Annotated[int, Field(ge=1, le=6, description="Eyes of a die.")]) -> int:
        """Pick a number."""
        return number

    schema = pick.parameters["properties"]
    assert schema == {
        "number": {
            "type": "integer",
            "minimum": 1,
            "maximum": 6,
            "description": "Eyes of a die.",
        }
    }


def test_a_tool_is_still_the_function() -> None:
    assert rainfall(Place(city="Oslo"), [10]).millimetres == 5


def test_a_method_of_an_object_is_a_tool_too() -> None:
    class Counter:
        def __init__(self) -> None:
            self.total = 0

        def add(self, number: int) -> int:
            """Add a number."""
            self.total += number
            return self.total

    counter = Counter()
    added = tool(counter.add, name="count")
    assert added.name == "count"
    assert asyncio.run(added.call({"number": 3}, key="k")).value == 3
    assert counter.total == 3


async def test_arguments_may_have_names_that_pydantic_uses_itself() -> None:
    @tool
    def odd(schema: str, model_config: int, _hidden: int, /, copy: bool = True) -> list[object]:
        """Return what it gets."""
        return [schema, model_config, _hidden, copy]

    arguments: dict[str, Json] = {"schema": "s", "model_config": 1, "_hidden": 2}
    assert (await odd.call(arguments, key="k")).value == ["s", 1, 2, True]


# Checked when defined


def test_an_argument_without_a_type_is_refused() -> None:
    def bare(number) -> int:  # type: ignore[no-untyped-def]  # the mistake
        """Double."""
        return 2 * int(number)  # pyright: ignore[reportUnknownArgumentType]

    with pytest.raises(InputError, match=r"argument 'number' of the tool 'bare' has no type"):
        tool(bare)  # pyright: ignore[reportUnknownArgumentType]


def test_open_argument_lists_are_refused() -> None:
    def open_list(*numbers: int) -> int:
        """Add."""
        return sum(numbers)

    with pytest.raises(InputError, match=r"'open_list' takes \*numbers: int: name each argument"):
        tool(open_list)


def test_a_function_without_a_docstring_is_refused() -> None:
    def silent(number: int) -> int:
        return number

    with pytest.raises(InputError, match="'silent' has no docstring"):
        tool(silent)


def test_a_docstring_about_an_argument_that_is_not_there_is_refused() -> None:
    def renamed(number: int) -> int:
        """Double.

        Args:
            figure: What to double.
        """
        return 2 * number

    with pytest.raises(InputError, match="'renamed' describes 'figure', which is no argument"):
        tool(renamed)


class Opaque:
    pass


def test_a_type_without_a_schema_is_refused_by_argument() -> None:
    def opaque(number: int, thing: Opaque) -> int:
        """Take a thing."""
        return number

    with pytest.raises(InputError, match=r"argument 'thing' of the tool 'opaque'.*Opaque"):
        tool(opaque)


def test_a_schema_that_no_grammar_can_hold_is_refused_by_argument() -> None:
    def contrary(ok: int, number: Annotated[int, Field(gt=5, lt=6)]) -> int:
        """Take the impossible."""
        return ok + number

    with pytest.raises(InputError, match="argument 'number' of the tool 'contrary'"):
        tool(contrary)


def test_options_that_contradict_each_other_are_refused() -> None:
    def send(text: str) -> str:
        """Send a letter."""
        return text

    with pytest.raises(InputError, match=r"'send' cannot be defined: retries would have the eff"):
        tool(send, permission="write", retries=1)
    with pytest.raises(InputError, match="must be positive"):
        tool(send, timeout_s=0)
    with pytest.raises(InputError, match="max_chars is 10: use 200 at least"):
        tool(send, max_chars=10)
    with pytest.raises(InputError, match="'read', 'write' or 'approve'"):
        tool(send, permission="delete")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(InputError, match="The name 'no good' is no tool's"):
        tool(send, name="no good")


def test_a_generator_is_refused() -> None:
    def count(to: int):  # type: ignore[no-untyped-def]
        """Count."""
        yield from range(to)

    with pytest.raises(InputError, match="'count' yields"):
        tool(count)


# Results


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
    for value in (Opaque(), circle):
        with pytest.raises(ToolError, match="has no form in JSON"):
            await _returning(value).call({}, key="k")


async def test_a_function_may_make_its_tool_result_itself() -> None:
    made = ToolResult(text="x" * 500, value=[1])
    result = await _returning(made, max_chars=200).call({}, key="k")
    assert (len(result.text), result.value, result.trimmed) == (200, [1], True)


# Keys


async def test_the_key_reaches_the_function_and_not_the_model() -> None:
    @tool(permission="write")
    def send(text: str, call: IdempotencyKey) -> str:
        """Send a letter."""
        return f"{text} {call}"

    assert send.permission == "write"
    assert list(send.parameters["properties"]) == ["text"]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (await send.call({"text": "hi"}, key="run-1/step-2")).text == "hi run-1/step-2"
    with pytest.raises(ToolError, match="call: Extra inputs"):
        await send.call({"text": "hi", "call": "forged"}, key="k")


# Failures


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("city"), "KeyError: 'city'"),
        (ToolError("Ask for a city in Norway."), "Ask for a city in Norway."),
        (RuntimeError(), "RuntimeError"),
        (StopIteration(3), "StopIteration: 3"),
        (SystemExit(2), "SystemExit: 2"),
        (asyncio.CancelledError(), "CancelledError"),
        (ExceptionGroup("both", [ValueError("a")]), "ExceptionGroup: both (1 sub-exception)"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_whatever_a_function_raises_is_told_without_a_traceback(
    error: BaseException, message: str, asynchronous: bool
) -> None:
    def fail() -> None:
        """Fail."""
        raise error

    async def fail_later() -> None:
        """Fail."""
        raise error

    made = tool(fail_later) if asynchronous else tool(fail)
    if asynchronous and isinstance(error, StopIteration):
        message = "RuntimeError: coroutine raised StopIteration"
    with pytest.raises(ToolError) as caught:
        await asyncio.wait_for(made.call({}, key="k"), 5)
    assert str(caught.value) == message


async def test_a_huge_message_is_cut() -> None:
    @tool(max_chars=300)
    def fail() -> None:
        """Fail."""
        raise ValueError("x" * 100_000)

    with pytest.raises(ToolError) as caught:
        await fail.call({}, key="k")
    assert len(str(caught.value)) == 300


# Time


async def test_a_call_returns_in_time_though_its_thread_goes_on() -> None:
    ended = threading.Event()
    go_on = threading.Event()

    @tool(timeout_s=0.1)
    def hang() -> None:
        """Hang."""
        go_on.wait(30)
        ended.set()

    with pytest.raises(ToolError, match=r"TimeoutError: no result within 0.1 s"):
        await hang.call({}, key="k")
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(10)


async def test_a_call_returns_in_time_though_the_function_ignores_cancellation() -> None:
    released = asyncio.Event()

    @tool(timeout_s=0.1)
    async def stubborn() -> None:
        """Go on."""
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(ToolError, match="no result within"):
        await asyncio.wait_for(stubborn.call({}, key="k"), 10)
    released.set()
    await asyncio.sleep(0.01)


async def test_a_hung_function_keeps_its_turn_and_the_others_are_told() -> None:
    go_on = threading.Event()

    @tool(timeout_s=0.1, concurrency=1)
    def hang(wait: bool) -> str:
        """Hang."""
        if wait:
            go_on.wait(30)
        return "done"

    for message in ("no result", "no free slot"):
        with pytest.raises(ToolError, match=message):
            await hang.call({"wait": message == "no result"}, key="k")
    go_on.set()
    results: list[str] = []
    while not results:  # until the thread has seen it; pytest's own limit ends it otherwise
        with contextlib.suppress(ToolError):
            results.append((await hang.call({"wait": False}, key="k")).text)
    assert results == ["done"]


def test_a_hung_function_does_not_keep_the_interpreter_from_ending() -> None:
    program = """
import asyncio, threading
from ragkit.agents.tools import tool
from ragkit.core.errors import ToolError

@tool(timeout_s=0.05)
def hang() -> None:
    "Hang for good."
    threading.Event().wait()

async def main():
    for _ in range(3):
        try:
            await hang.call({}, key="k")
        except ToolError:
            print("left")

asyncio.run(main())
"""
    ended = subprocess.run(  # the arguments are this test's own
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.split() == ["left"] * 3
    assert ended.stderr == ""


async def test_a_cancelled_call_cancels_an_async_function() -> None:
    seen: list[str] = []

    @tool
    async def wait() -> None:
        """Wait."""
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    call = asyncio.ensure_future(wait.call({}, key="k"))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.01)
    assert seen == ["cancelled"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_more_calls_run_at_once_than_allowed(asynchronous: bool) -> None:
    running: list[int] = []
    most: list[int] = []

    async def work() -> None:
        """Work."""
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0.02)
        running.pop()

    def work_in_thread() -> None:
        """Work."""
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    made = (
        tool(work, concurrency=3)
        if asynchronous
        else tool(work_in_thread, name="work", concurrency=3)
    )
    await asyncio.gather(*(made.call({}, key=str(number)) for number in range(12)))
    assert (len(most), max(most)) == (12, 3)


# Retries


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def answer(self) -> str:
        """Answer at last."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "here"


def busy() -> ProviderError:
    return ProviderError("busy", provider="test", retryable=True, retry_after_s=0.0)


async def test_errors_that_may_pass_are_tried_again() -> None:
    flaky = Flaky(busy(), TimeoutError("slow"))
    assert (await tool(flaky.answer, retries=2).call({}, key="k")).text == "here"
    assert flaky.calls == 3


async def test_tries_are_bounded() -> None:
    flaky = Flaky(busy(), busy(), busy())
    with pytest.raises(ToolError, match="busy"):
        await tool(flaky.answer, retries=1).call({}, key="k")
    assert flaky.calls == 2


async def test_other_errors_are_not_tried_again() -> None:
    flaky = Flaky(ValueError("wrong city"))
    with pytest.raises(ToolError, match="wrong city"):
        await tool(flaky.answer, retries=3).call({}, key="k")
    assert flaky.calls == 1


async def test_a_write_is_tried_again_only_where_that_is_said_to_be_safe() -> None:
    flaky = Flaky(busy())
    safe = tool(flaky.answer, permission="write", idempotent=True, retries=1)
    assert (await safe.call({}, key="k")).text == "here"
    flaky = Flaky(busy())
    with pytest.raises(ToolError, match="busy"):
        await tool(flaky.answer, permission="write").call({}, key="k")
    assert flaky.calls == 1
    with pytest.raises(InputError, match="twice"):
        tool(flaky.answer, idempotent=False, retries=1)


# Inside a graph


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_tool_may_wait_for_a_person(asynchronous: bool) -> None:
    def ask() -> str:
        """Ask a person."""
        return f"the person says {interrupt('May I?')}"

    async def ask_later() -> str:
        """Ask a person."""
        return ask()

    asking = tool(ask_later, name="ask") if asynchronous else tool(ask)

    class State(TypedDict):
        said: str

    async def node(state: State) -> State:
        return State(said=(await asking.call({}, key="k")).text)

    graph: Any = StateGraph(State)  # LangGraph's parameters leave the kind of a step open
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    running = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    stopped = await running.ainvoke({"said": ""}, config)
    assert stopped["__interrupt__"][0].value == "May I?"
    resumed = await running.ainvoke(Command(resume="yes"), config)
    assert resumed["said"] == "the person says yes"
