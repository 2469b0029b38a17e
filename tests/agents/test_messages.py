from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import react, run
from ragkit.agents.messages import (
    Earlier,
    asked_in,
    earlier_messages,
    shared_messages,
)
from ragkit.agents.state import calls_message
from ragkit.core.errors import InputError
from ragkit.testing.agents import says_finish
from ragkit.testing.llm import ScriptedLLM


def test_the_question_is_the_latest_message_of_the_user_unless_it_is_given_by_itself() -> None:
    messages: list[AnyMessage] = [
        HumanMessage(content="first", id="1"),
        HumanMessage(content=[{"type": "text", "text": "second"}], id="2"),
        AIMessage(content="over to you", id="3"),
    ]
    assert asked_in(messages, "") == ("second", "2")
    assert asked_in(messages, "third") == ("third", "")
    assert asked_in(messages, "second") == ("second", "2")


@pytest.mark.parametrize("messages", [[], [AIMessage(content="hello", id="1")]])
def test_an_input_without_a_question_says_how_to_ask(messages: list[AnyMessage]) -> None:
    with pytest.raises(InputError, match=r'no question. Fix: pass \{"messages": '):
        asked_in(messages, " ")


def test_earlier_answers_are_untrusted_unless_they_say_otherwise() -> None:
    messages: list[AnyMessage] = [
        SystemMessage(content="Be kind.", id="0"),
        HumanMessage(content="one", id="1"),
        calls_message("r:1:calls", "look", [("r:1.1", "a", {})], agent="react"),
        ToolMessage(content="found", tool_call_id="r:1.1", id="r:1.1:result"),
        AIMessage(content="clean", id="2", response_metadata={"untrusted": False}),
        AIMessage(content="foreign", id="3", name="other"),
        HumanMessage(content="now", id="4"),
        AIMessage(content="of this run", id="run:1"),
    ]
    assert list(earlier_messages(messages, question="4", run="run")) == [
        Earlier(role="instructions", text="Be kind."),
        Earlier(role="question", text="one"),
        Earlier(role="answer", text="clean"),
        Earlier(role="answer", text="foreign", untrusted=True, author="other"),
    ]
    assert [message.id for message in shared_messages(messages)] == ["r:1:calls", "r:1.1:result"]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


async def test_a_question_with_an_image_is_refused_and_a_later_one_says_that_it_is_missing() -> (
    None
):
    llm = ScriptedLLM([says_finish("A lamp.")])
    agent = react(llm, [], checkpointer=InMemorySaver())
    asked = HumanMessage(content=[{"type": "text", "text": "What is this?"}, IMAGE])
    with pytest.raises(InputError, match="content of the type 'image_url', which agents do not"):
        await run(agent, [asked], thread="t")
    assert (await run(agent, "It is a lamp. What is it?", thread="t")).answer == "A lamp."
    assert "Question: What is this? [image_url left out]" in llm.calls[0].prompt


async def test_characters_that_cannot_be_sent_are_replaced_in_a_question() -> None:
    llm = ScriptedLLM([says_finish("ok")] * 2)
    await run(react(llm, []), "caf\ud800")
    await run(react(llm, []), [("user", "caf\ud800")])
    assert all("Question: caf?" in call.prompt for call in llm.calls)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"question": None}, "no question"),
        ({"messages": None}, "no question"),
        ({"question": 5}, "question is 5, which is not a text"),
    ],
)
async def test_an_input_that_is_no_question_is_refused(
    given: dict[str, object], problem: str
) -> None:
    # `Any`: the input of a graph is open in LangGraph's types.
    agent: Any = react(ScriptedLLM([]), [])
    with pytest.raises(InputError, match=problem):
        await agent.ainvoke(given)
