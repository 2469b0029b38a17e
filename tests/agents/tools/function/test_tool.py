import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.constants import START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field

from ragkit.agents.tools import IdempotencyKey, tool
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
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

    with pytest.raises(InputError, match=r"'open_list' takes \*numbers: int, which has no schema"):
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

    with pytest.raises(InputError, match="'renamed' describes 'figure', not an argument"):
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

    with pytest.raises(InputError, match=r"'send' cannot be defined: retries=1 would have the"):
        tool(send, permission="write", retries=1)
    with pytest.raises(InputError, match="must be positive"):
        tool(send, timeout_s=0)
    with pytest.raises(InputError, match=r"max_chars is 10\. Fix: use at least 200"):
        tool(send, max_chars=10)
    with pytest.raises(InputError, match="'read', 'write' or 'approve'"):
        tool(send, permission="delete")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(InputError, match="The tool name 'no good' is not valid"):
        tool(send, name="no good")


def test_a_generator_is_refused() -> None:
    def count(to: int):  # type: ignore[no-untyped-def]
        """Count."""
        yield from range(to)

    with pytest.raises(InputError, match="'count' is a generator"):
        tool(count)


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


def test_an_unknown_option_is_refused() -> None:
    def look(text: str) -> str:
        """Look."""
        return text

    options: dict[str, object] = {"permissions": "read"}
    with pytest.raises(InputError, match=r"unknown option 'permissions'\. Fix: use one of concurr"):
        tool(look, **options)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
