import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]  # partly typed
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    trim_messages,  # pyright: ignore[reportUnknownVariableType]  # partly typed
)
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ragkit import InputError
from ragkit.core.types import Json
from ragkit.grammar import Limits
from ragkit.llm import LocalLLM
from ragkit.llm.langchain import ChatRagkit
from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

ARGUMENTS: Mapping[str, Mapping[str, Json]] = {
    "magic_function": {"input": 3},
    "magic_function_no_args": {},
    "my_adder_tool": {"a": 3, "b": 4},
    "get_weather": {"location": "San Francisco, CA"},
    "greeting_generator": {"answer_style": "Pirate"},
    "random_cat_fact": {},
    "get_capital": {"country": "Brazil"},
}


def _reply(call: ScriptedCall) -> str:
    """The reply of a model that does as it is told; its grammar checks it."""
    system, last = call.messages[0].content, call.messages[-1].content
    if "Tools:" in system:
        named = re.findall(r"^- (\w+): ", system, re.MULTILINE)
        if "final_answer" in named and ("Result of" in last or "Error of" in last):
            return says_action("", ("final_answer", {"answer": "It is done."}))
        if named[0] == "unicode_customer":
            name = re.findall("'([^']*)'", last)[0]
            return says_action(
                "", ("unicode_customer", {"customer_name": name, "description": "A company"})
            )
        return says_action("", (named[0], dict(ARGUMENTS[named[0]])))
    if "JSON Schema" in system:
        schema = json.loads(system.partition("nothing else:\n")[2])
        values = dict.fromkeys(schema["properties"], "Why?")
        return json.dumps(values, separators=(",", ":"))
    return "Hello, here I am."


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatRagkit

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": ScriptedLLM(_reply)}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}


class TestIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatRagkit

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": ScriptedLLM(_reply)}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": 100_000, "timeout": 60, "stop": []}

    @property
    def supports_json_mode(self) -> bool:
        return True


def _model(*replies: str, **options: Any) -> tuple[ChatRagkit, ScriptedLLM]:
    llm = ScriptedLLM(replies)
    return ChatRagkit(llm=llm, **options), llm


@tool
def capital(country: str) -> str:
    """The capital of a country."""
    return {"Norway": "Oslo"}[country]


def test_a_reply_has_usage_model_and_reason() -> None:
    model, _ = _model("Hello.")
    reply = model.invoke("Hi")
    assert reply.content == "Hello."
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["output_tokens"] == 7
    assert reply.response_metadata["model_name"] == "scripted"
    assert reply.response_metadata["finish_reason"] == "stop"


async def test_text_is_streamed_while_it_is_decoded() -> None:
    model, _ = _model("A reply of some length.")
    chunks = [chunk async for chunk in model.astream("Hi")]
    assert len(chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content == "A reply of some length."
    assert isinstance(whole, AIMessageChunk)
    assert whole.usage_metadata is not None


def test_options_of_decoding_reach_the_model_and_unknown_ones_are_refused() -> None:
    model, llm = _model("a", "b", temperature=0.0, max_tokens=5, options={"top_p": 0.5})
    model.invoke("Hi", max_tokens=7, seed=3)
    expected = {"temperature": 0.0, "max_tokens": 7, "seed": 3, "top_p": 0.5}
    assert llm.calls[0].options == expected
    with pytest.raises(InputError, match="Unknown option 'temprature'"):
        model.invoke("Hi", temprature=1)


def test_the_model_chooses_between_calls_and_an_answer() -> None:
    model, llm = _model(
        says_action("I look it up.", ("capital", {"country": "Norway"})),
        says_action("", ("final_answer", {"answer": "Oslo."})),
    )
    bound = model.bind_tools([capital])
    asked = HumanMessage("What is the capital of Norway?")
    first = bound.invoke([asked])
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("capital", {"country": "Norway"})
    ]
    assert first.additional_kwargs["reasoning_content"] == "I look it up."
    result = ToolMessage("Oslo", tool_call_id=str(first.tool_calls[0]["id"]))
    second = bound.invoke([asked, first, result])
    assert (second.content, second.tool_calls) == ("Oslo.", [])
    roles = [message.role for message in llm.calls[1].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert llm.calls[1].messages[-1].content == "Result of capital:\nOslo"


def test_one_call_at_most_without_parallel_calls() -> None:
    twice = says_action("", *[("capital", {"country": "Norway"})] * 2)
    model, _ = _model(twice, twice)
    assert len(model.bind_tools([capital]).invoke("Hi").tool_calls) == 2
    with pytest.raises(AssertionError, match="does not match its grammar"):
        model.bind_tools([capital], parallel_tool_calls=False).invoke("Hi")


def test_a_choice_that_is_not_a_tool_is_refused() -> None:
    model, _ = _model()
    with pytest.raises(InputError, match=r"tool_choice is 'capitol'. Fix: use .*capital"):
        model.bind_tools([capital], tool_choice="capitol")


def test_a_tool_that_a_provider_runs_is_refused_when_it_is_bound() -> None:
    model, _ = _model()
    with pytest.raises(InputError, match=r"'web_search_preview'.* Fix: bind a function"):
        model.bind_tools([{"type": "web_search_preview"}])


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0, le=130)


class Place(TypedDict):
    """A place."""

    name: str


def test_structured_output_is_of_the_type() -> None:
    model, llm = _model('{"name":"Ada","age":36}', '{"name":"Oslo"}', '{"name":"Oslo"}')
    assert model.with_structured_output(Person).invoke("Who?") == Person(name="Ada", age=36)
    assert model.with_structured_output(Place).invoke("Where?") == {"name": "Oslo"}
    raw = model.with_structured_output(Place, include_raw=True).invoke("Where?")
    assert isinstance(raw, dict)
    assert raw["parsed"] == {"name": "Oslo"}
    assert isinstance(raw["raw"], AIMessage)
    assert all(call.grammar is not None for call in llm.calls)


@pytest.mark.parametrize(
    "form", [Place, {"type": "json_schema", "schema": convert_to_json_schema(Place)}]
)
def test_a_response_format_is_a_type_or_a_schema(form: object) -> None:
    model, llm = _model('{"name":"Oslo"}')
    assert model.bind(response_format=form).invoke("Where?").content == '{"name":"Oslo"}'
    assert llm.calls[0].grammar is not None


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ({"type": "json_object"}, "{'type': 'json_object'}"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "{'name': 'x'}}"),
        ({"type": "json_schema", "json_schema": "x"}, "'json_schema': 'x'}"),
        ("json", "'json'"),
        (int, "<class 'int'>"),
    ],
)
def test_a_response_format_without_a_schema_is_refused(form: object, shown: str) -> None:
    model, _ = _model()
    match = rf"response_format is .*{re.escape(shown)}\. Fix: use the type 'json_schema' with a"
    with pytest.raises(InputError, match=match):
        model.bind(response_format=form).invoke("Where?")


def test_tokens_are_estimated_without_a_tokenizer() -> None:
    model, _ = _model()  # the network is blocked in tests
    first = HumanMessage("one two three " * 20)
    said: list[BaseMessage] = [first, AIMessage("four"), HumanMessage("five")]
    kept: Any = trim_messages(said, max_tokens=60, token_counter=model)
    assert kept == said[1:]
    assert model.get_num_tokens_from_messages([]) == 0
    without = model.get_num_tokens_from_messages(said)
    assert model.get_num_tokens_from_messages(said, tools=[capital]) > without + 50
    assert model.get_num_tokens("") == 0
    assert 0 < model.get_num_tokens("one") < model.get_num_tokens("one two three")


def test_token_ids_come_from_the_callers_own_function_only() -> None:
    model, _ = _model()
    with pytest.raises(InputError, match=r"'scripted' has no token ids\. Fix: pass custom_get_"):
        model.get_token_ids("one two")

    def ids(text: str) -> list[int]:
        return list(range(len(text.split())))

    counting, _ = _model(custom_get_token_ids=ids)
    assert counting.get_token_ids("one two") == [0, 1]
    assert counting.get_num_tokens("one two") == 2
    assert counting.get_num_tokens_from_messages([HumanMessage("one two")]) == 3


def test_a_value_outside_of_the_bounds_cannot_be_decoded() -> None:
    model, _ = _model('{"name":"Ada","age":200}')
    with pytest.raises(AssertionError, match="does not match its grammar"):
        model.with_structured_output(Person).invoke("Who?")


def test_stop_texts_and_schemas_exclude_each_other() -> None:
    model, _ = _model()
    with pytest.raises(InputError, match="Fix: leave it out with tools or a schema"):
        model.with_structured_output(Person).invoke("Who?", stop=["x"])


def test_an_unknown_method_is_refused() -> None:
    model, _ = _model()
    with pytest.raises(InputError, match=r"method is 'magic'\. Fix: use one of json_schema"):
        model.with_structured_output(Person, method="magic")


def test_limits_bound_strings_without_a_length() -> None:
    long = says_action("", ("capital", {"country": "x" * 50}))
    model, _ = _model(long, limits=Limits(string_length=20))
    with pytest.raises(AssertionError, match="does not match its grammar"):
        model.bind_tools([capital]).invoke("Hi")


def test_langchains_agent_calls_tools_and_ends_with_a_structured_response() -> None:
    model, _ = _model(
        says_action("", ("capital", {"country": "Norway"})),
        says_action("", ("final_answer", {"name": "Oslo"})),
    )
    agent: Any = create_agent(  # pyright: ignore[reportUnknownVariableType]
        model, tools=[capital], response_format=Place
    )
    result = agent.invoke({"messages": [HumanMessage("The capital of Norway?")]})
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert result["messages"][2].content == "Oslo"
    assert result["structured_response"] == {"name": "Oslo"}


def _valid(calls: Sequence[Mapping[str, Any]]) -> bool:
    return all(call["name"] == "capital" and set(call["args"]) == {"country"} for call in calls)


@pytest.mark.slow
async def test_a_model_with_random_weights_makes_only_valid_calls(local_llm: LocalLLM) -> None:
    model = ChatRagkit(llm=local_llm, limits=Limits(string_length=20), max_calls=2)
    bound = model.bind_tools([capital], tool_choice="any")
    for seed in range(10):
        reply = await bound.ainvoke("The capital of Norway?", temperature=1.0, seed=seed)
        assert reply.tool_calls
        assert _valid([dict(call) for call in reply.tool_calls])
    person = await model.with_structured_output(Person).ainvoke("Who?", temperature=1.0, seed=1)
    assert isinstance(person, Person)
