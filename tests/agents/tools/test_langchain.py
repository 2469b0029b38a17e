import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, BaseToolkit, StructuredTool, ToolException, tool
from langgraph.types import Command
from pydantic import BaseModel, Field

from ragkit.agents import explain, react, run
from ragkit.agents.tools.langchain import LangChainTool, as_tools, langchain_tools
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, says_action
from ragkit.testing.llm import ScriptedLLM
from ragkit.testing.tool_contract import ToolContract


class City(BaseModel):
    """A city."""

    name: str = Field(description="Its name.")
    people: int = Field(default=0, ge=0)


@tool(args_schema=City)
def describe(name: str, people: int = 0) -> dict[str, object]:
    """Describe a city."""
    return {"text": f"{name} has {people} people."}


@tool
async def capital(country: str) -> str:
    """The capital of a country."""
    if country == "Nowhere":
        raise ValueError("no such country")
    await asyncio.sleep(0)
    return "Oslo"


class Geography(BaseToolkit):
    """Tools about places."""

    source: str = "an atlas"

    def get_tools(self) -> list[BaseTool]:
        return [describe, capital]


class TestSyncTool(ToolContract):
    def make_tool(self) -> Tool:
        return langchain_tools([describe])[0]

    def arguments(self) -> Mapping[str, Json]:
        return {"name": "Oslo", "people": 3}


class TestAsyncTool(ToolContract):
    def make_tool(self) -> Tool:
        return langchain_tools([capital])[0]

    def arguments(self) -> Mapping[str, Json]:
        return {"country": "Norway"}


def test_name_description_and_schema_are_those_of_the_tool() -> None:
    (made,) = langchain_tools([describe])
    assert (made.name, made.description) == ("describe", "Describe a city.")
    properties: Any = made.parameters["properties"]
    assert properties["name"] == {"description": "Its name.", "type": "string"}
    assert made.parameters["required"] == ["name"]


async def test_a_result_is_kept_as_json_and_defaults_are_filled_in() -> None:
    result = await langchain_tools([describe])[0].call({"name": "Oslo"}, key="k")
    assert result.value == {"text": "Oslo has 0 people."}


async def test_wrong_arguments_and_failures_are_reported() -> None:
    first, second = langchain_tools([describe, capital])
    with pytest.raises(ToolError, match=r"Wrong arguments: \$\.people: -1 is less than"):
        await first.call({"name": "Oslo", "people": -1}, key="k")
    with pytest.raises(ToolError, match="ValueError: no such country"):
        await second.call({"country": "Nowhere"}, key="k")


def test_permissions_come_from_options_and_metadata() -> None:
    reading = StructuredTool.from_function(
        name="look", description="Look.", func=lambda: "x", metadata={"permission": "read"}
    )
    assert [made.permission for made in langchain_tools([capital, reading])] == ["write", "read"]
    approved = langchain_tools([capital], permissions={"capital": "approve"})
    assert approved[0].permission == "approve"
    assert langchain_tools([capital], permission="read")[0].repeatable
    assert not langchain_tools([capital])[0].untrusted
    assert langchain_tools([capital], untrusted=True)[0].untrusted
    with pytest.raises(InputError, match=r"permissions names 'capitol'\. Fix: use capital"):
        langchain_tools([capital], permissions={"capitol": "read"})


def test_what_a_server_says_in_metadata_loosens_nothing() -> None:
    def made(permission: str, **options: Any) -> LangChainTool:
        metadata = {"permission": permission, "untrusted": False}
        says = StructuredTool.from_function(
            name="look", description="Look.", func=lambda: "x", metadata=metadata
        )
        return langchain_tools([says], untrusted=True, **options)[0]

    assert made("read").untrusted
    assert made("read").permission == "write"
    assert made("approve").permission == "approve"
    assert made("read", permissions={"look": "read"}).permission == "read"
    with pytest.raises(InputError, match="permission"):
        made("none")


def test_a_toolkit_gives_all_of_its_tools() -> None:
    assert [made.name for made in langchain_tools(Geography())] == ["describe", "capital"]


def test_a_toolkit_is_taken_alone_and_among_tools() -> None:
    own = RecordingTool(name="own")
    assert explain(react(ScriptedLLM([]), Geography())).tools == ("describe", "capital")
    assert [made.name for made in as_tools([own, Geography()])] == ["own", "describe", "capital"]
    assert [made.name for made in langchain_tools([Geography()])] == ["describe", "capital"]


def test_a_client_with_async_get_tools_is_refused_with_its_fix() -> None:
    class Client:
        async def get_tools(self) -> list[BaseTool]:
            return [capital]

    clients: list[Any] = [Client(), [Client()]]
    for client in clients:
        with pytest.raises(InputError, match=r"Fix: pass the result of `await get_tools\(\)`"):
            as_tools(client)


def test_the_class_of_a_toolkit_is_no_tool() -> None:
    classes: list[Any] = [Geography]
    with pytest.raises(InputError, match=r"Geography'> is not a tool\. Fix:"):
        as_tools(classes)


async def test_a_hung_tool_is_left_in_a_daemon_thread_and_keeps_its_slot() -> None:
    go_on = threading.Event()
    daemons: list[bool] = []

    @tool
    def hang(x: int) -> int:
        """Hang."""
        daemons.append(threading.current_thread().daemon)
        go_on.wait(30)
        return x

    (made,) = langchain_tools([hang], timeout_s=0.1, concurrency=1)
    for message in ("no result", "no free slot"):
        with pytest.raises(ToolError, match=message):
            await made.call({"x": 1}, key="k")
    go_on.set()
    while not daemons:  # a busy machine may start the thread late
        await asyncio.sleep(0)
    assert daemons == [True]


class Look(BaseTool):
    """Says which thread it runs in."""

    name: str = "look"
    description: str = "Look."

    def _run(self) -> str:
        return threading.current_thread().name


class AsyncLook(Look):
    """The same, with async code of its own."""

    async def _arun(self) -> str:
        return threading.current_thread().name


async def test_a_tool_with_async_code_runs_on_the_loop_and_others_in_a_thread_of_ragkits() -> None:
    here = threading.current_thread().name
    looks: list[BaseTool] = [
        Look(),
        AsyncLook(),
        StructuredTool.from_function(name="f", description="f", func=Look()._run),  # pyright: ignore[reportPrivateUsage]
        StructuredTool.from_function(name="c", description="c", coroutine=AsyncLook()._arun),  # pyright: ignore[reportPrivateUsage]
    ]
    seen = [(await made.call({}, key="k")).text for made in langchain_tools(looks)]
    assert seen == ["ragkit-tool", here, "ragkit-tool", here]


def _tool(answer: Callable[[], object], **options: Any) -> LangChainTool:
    # LangChain reads the annotations of the function, so the answer comes through a closure.
    def look() -> Any:
        return answer()

    made = StructuredTool.from_function(name="look", description="Look.", func=look, **options)
    return langchain_tools([made])[0]


async def test_a_message_gives_its_text_and_its_status() -> None:
    def message(content: Any, **options: Any) -> ToolMessage:
        return ToolMessage(content, tool_call_id="1", **options)

    text = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    image = [{"type": "image", "url": "http://127.0.0.1/x.png"}]
    assert (await _tool(lambda: message("found")).call({}, key="k")).text == "found"
    assert (await _tool(lambda: [message("a"), message("b")]).call({}, key="k")).text == "a\nb"
    assert (await _tool(lambda: message(text)).call({}, key="k")).text == "ab"
    assert (await _tool(lambda: message(image)).call({}, key="k")).value == image
    with pytest.raises(ToolError, match="broken"):
        await _tool(lambda: message("broken", status="error")).call({}, key="k")


async def test_an_error_that_the_tool_handles_is_a_failure_all_the_same() -> None:
    def fail() -> object:
        raise ToolException("no such place")

    for handler, said in ((True, "no such place"), ("Try later.", "Try later.")):
        with pytest.raises(ToolError, match=f"^{said}$"):
            await _tool(fail, handle_tool_error=handler).call({}, key="k")


async def test_a_tool_that_handles_errors_keeps_its_results_as_json() -> None:
    made = _tool(lambda: {"a": [1]}, handle_tool_error=True)
    result = await made.call({}, key="k")
    assert (result.text, result.value) == ('{"a": [1]}', {"a": [1]})
    nested = _tool(lambda: "[" * 100_000, handle_tool_error=True)
    assert (await nested.call({}, key="k")).text.startswith("[[[")
    braces = _tool(lambda: "{x} is free", handle_tool_error=True)
    assert (await braces.call({}, key="k")).value == "{x} is free"


@pytest.mark.parametrize("value", [Command(goto="x"), [Command(update={"x": 1})]])
async def test_a_command_is_a_failure_that_says_why(value: object) -> None:
    with pytest.raises(ToolError, match=r"It returned a Command.* Fix: let the tool return a"):
        await _tool(lambda: value).call({}, key="k")


def test_a_tool_whose_result_should_be_the_answer_is_refused() -> None:
    with pytest.raises(InputError, match=r"'look' has return_direct=True.* Fix: set return_direct"):
        _tool(lambda: "x", return_direct=True)


def test_an_unknown_option_is_refused() -> None:
    options: dict[str, Any] = {"timeout": 3}
    with pytest.raises(InputError, match=r"no option 'timeout'\. Fix: use one of .*timeout_s"):
        langchain_tools([capital], **options)


def test_both_kinds_of_tools_are_taken_and_nothing_else() -> None:
    own = RecordingTool(name="own")
    made = as_tools([own, capital])
    assert made[0] is own
    assert isinstance(made[1], LangChainTool)
    others: list[Any] = [len]
    with pytest.raises(InputError, match=r"is not a tool\. Fix: pass functions through"):
        as_tools(others)


def test_a_schema_that_no_grammar_holds_is_refused_by_name() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "array", "items": {"type": "integer"}, "contains": {}}},
        "unevaluatedItems": False,
        "$dynamicRef": "#x",
    }

    def echo(x: object) -> object:
        return x

    strange = StructuredTool.from_function(
        name="strange", description="Strange.", func=echo, args_schema=schema
    )
    with pytest.raises(InputError, match="The LangChain tool 'strange' is refused"):
        langchain_tools([strange])


async def test_an_agent_takes_a_langchain_tool_as_it_is() -> None:
    llm = ScriptedLLM(
        [
            says_action("I look.", ("capital", {"country": "Norway"})),
            says_action("", ("finish", {"answer": "Oslo."})),
        ]
    )
    result = await run(react(llm, [capital]), "What is the capital of Norway?")
    assert result.answer == "Oslo."
    assert "Oslo" in llm.calls[1].prompt
