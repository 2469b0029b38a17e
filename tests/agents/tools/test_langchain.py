import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.tools import BaseTool, BaseToolkit, StructuredTool, tool
from pydantic import BaseModel, Field

from ragkit.agents import react, run
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
