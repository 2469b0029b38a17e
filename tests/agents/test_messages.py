import pytest
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ragkit.agents.messages import (
    Earlier,
    asked_in,
    earlier_messages,
    shared_messages,
)
from ragkit.agents.state import calls_message
from ragkit.core.errors import InputError


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
