import functools
from typing import Annotated, Any

import pytest
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    tool,
)
from langchain_core.tools.base import ArgsSchema
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

from ragkit.agents import react, run
from ragkit.agents.tools.langchain import as_tools
from ragkit.core.errors import InputError, ToolError
from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedLLM


@tool
def noted(x: int, call: Annotated[str, InjectedToolCallId]) -> dict[str, object]:
    """Note a number."""
    return {"number": x, "call": call}


@tool
def remembered(x: int, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Remember a number."""
    store.put(("numbers",), str(x), {"x": x})
    return f"There are {len(store.search(('numbers',)))} numbers."


class Session(TypedDict):
    """What belongs to a run."""

    user: str


@tool
def greet(greeting: str, runtime: ToolRuntime[Session, Any]) -> dict[str, object]:
    """Greet the user."""
    return {"text": f"{greeting} {runtime.context['user']}", "call": runtime.tool_call_id}


async def _said(one: BaseTool, *, context: object = None, **call: Any) -> tuple[str, bool]:
    options: dict[str, Any] = {"context_schema": Session} if context else {}
    if "store" in call:
        options["store"] = call.pop("store")
    llm = ScriptedLLM(
        [says_action("", (one.name, call)), says_action("", ("finish", {"answer": "Done."}))]
    )
    result = await run(react(llm, [one], **options), "Go on.", context=context)
    step = next(step for step in result.steps if step.kind == "tool")
    return str(step.result), step.failed


async def test_the_id_of_a_call_is_its_key_and_no_argument_of_the_model() -> None:
    (made,) = as_tools([noted])
    assert made.parameters["properties"] == {"x": {"type": "integer"}}
    result = await made.call({"x": 3}, key="k1")
    assert result.value == {"number": 3, "call": "k1"}


async def test_the_store_of_the_agent_is_injected() -> None:
    store = InMemoryStore()
    assert await _said(remembered, x=3, store=store) == ("There are 1 numbers.", False)
    assert store.get(("numbers",), "3")


async def test_a_tool_that_needs_a_store_says_so_where_the_agent_has_none() -> None:
    text, failed = await _said(remembered, x=3)
    assert failed
    assert text == "remembered needs a store. Fix: pass store=... to the agent."


async def test_the_runtime_holds_the_context_of_the_run_and_the_id_of_the_call() -> None:
    text, failed = await _said(greet, context={"user": "Ada"}, greeting="Hello")
    assert not failed
    assert "Hello Ada" in text
    assert ":1:" in text


async def test_a_call_outside_of_a_run_says_that_it_needs_one() -> None:
    (made,) = as_tools([greet])
    with pytest.raises(ToolError, match=r"greet needs the runtime .* Fix: call it in the run"):
        await made.call({"greeting": "Hello"}, key="k")


@pytest.mark.parametrize("reads", ["brackets", "get"])
async def test_reading_the_state_of_the_agent_is_an_error_with_its_fix(reads: str) -> None:
    @tool
    def count(runtime: ToolRuntime[Any, dict[str, Any]]) -> int:
        """Count the messages."""
        state = runtime.state
        return len(state["messages"] if reads == "brackets" else state.get("messages", []))

    text, failed = await _said(count)
    assert failed
    assert text.startswith("count reads 'messages' of the state of its graph, which is private.")
    assert "Fix: pass the value in the context of the run." in text


@tool
def counted(x: int, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Count."""
    return f"{x} {state}"


@tool
def counted_in(x: int, total: Annotated[int, InjectedState("total")] = 0) -> str:
    """Count."""
    return f"{x} {total}"


class Order(BaseModel):
    """An order."""

    x: int
    state: Annotated[dict[str, Any], InjectedState]


class Ordering(BaseTool):
    """Orders."""

    name: str = "ordering"
    description: str = "Order."
    args_schema: ArgsSchema | None = Order

    def _run(self, x: int, state: dict[str, Any]) -> str:
        return f"{x} {state}"


@pytest.mark.parametrize(
    ("one", "argument"),
    [(counted, "state"), (counted_in, "total"), (Ordering(), "state")],
    ids=["whole", "a field", "of a class"],
)
def test_a_tool_that_takes_the_state_is_refused_by_name(one: BaseTool, argument: str) -> None:
    match = rf"'{one.name}' takes the state of its graph as '{argument}'.* Fix: take a ToolRuntime"
    with pytest.raises(InputError, match=match):
        as_tools([one])


def _for_user(x: int, user: Annotated[str, InjectedToolArg]) -> str:
    return f"{x} for {user}"


def _for_guest(x: int, user: Annotated[str, InjectedToolArg] = "a guest") -> str:
    return f"{x} for {user}"


def _made(function: Any) -> StructuredTool:
    return StructuredTool.from_function(function, name="order", description="Order.")


def test_an_injected_argument_that_nobody_supplies_is_refused_by_name() -> None:
    match = r"'order' has the injected argument 'user', which no agent supplies\. Fix: give it a"
    with pytest.raises(InputError, match=match):
        as_tools([_made(_for_user)])


async def test_an_injected_argument_with_a_default_keeps_it() -> None:
    (made,) = as_tools([_made(_for_guest)])
    assert made.parameters["properties"] == {"x": {"type": "integer"}}
    assert (await made.call({"x": 2}, key="k")).text == "2 for a guest"


def test_a_tool_of_a_partial_function_is_read_too() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    bound = StructuredTool(
        name="order",
        description="Order.",
        func=functools.partial(_for_user, user="Ada"),
        args_schema=schema,
    )
    assert [made.name for made in as_tools([bound])] == ["order"]


def test_a_tool_that_declares_a_command_is_refused_by_name() -> None:
    @tool
    def hand_over(to: str) -> Command[Any]:
        """Hand over."""
        return Command(goto=to)

    with pytest.raises(InputError, match=r"'hand_over' returns a Command.* Fix: return a string"):
        as_tools([hand_over])
