from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.types import Message, ToolCall
from ragkit.llm.messages import estimated_tokens, messages_of
from ragkit.llm.openai.wire import turns

USER = Message(role="user", content="Hi")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}


def test_a_text_is_a_message_of_the_user() -> None:
    assert messages_of("Hi") == (USER,)
    assert messages_of([USER, {"role": "assistant", "content": ""}]) == (
        USER,
        Message(role="assistant", content=""),
    )


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        ([], "empty"),
        (7, "got int"),
        ([{"role": "user"}], "0 lacks role or content"),
        ([USER, 3], "1 lacks role or content: 3"),
        ([{"role": "boss", "content": "x"}], r"role: Input should be .*'tool', got 'boss'"),
        ([{"role": "user", "content": 1}], "0 cannot be sent: content.*got 1"),
        ([{"role": "user", "content": "x", "nme": "y"}], "nme: Extra inputs"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "0 cannot be sent: content"),
    ],
)
def test_a_message_that_cannot_be_sent_is_named(conversation: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        messages_of(conversation)


@given(texts=st.lists(st.text(max_size=50), min_size=1, max_size=5))
def test_an_estimate_grows_with_every_message_and_is_never_too_small(texts: list[str]) -> None:
    messages = [Message(role="user", content=text) for text in texts]
    words = sum(len(text.split()) for text in texts)
    assert estimated_tokens(messages) >= words
    assert estimated_tokens([*messages, USER]) > estimated_tokens(messages)


CALL = ToolCall(id="c1", name="stock", arguments='{"item":"lamp"}')


def test_messages_in_the_format_of_chat_completions_are_taken() -> None:
    conversation: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "stock", "arguments": '{"item":"lamp"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]
    assert messages_of(conversation) == (
        Message(role="user", content="What is this?", images=("data:image/png;base64,AA==",)),
        Message(role="assistant", content="", tool_calls=(CALL,)),
        Message(role="tool", content="3", tool_call_id="c1"),
    )


@pytest.mark.parametrize(
    "message",
    [
        Message(role="user", content="Look", images=("https://x/y.png", "data:,")),
        Message(role="assistant", content="", tool_calls=(CALL, CALL)),
        Message(role="tool", content="3", tool_call_id="c1"),
        Message(role="system", content="Be brief."),
    ],
)
def test_a_message_comes_back_from_the_format_that_is_sent(message: Message) -> None:
    (sent,) = turns([message])
    assert isinstance(sent, dict)
    assert messages_of([sent]) == (message,)


def test_images_and_calls_count_as_tokens() -> None:
    bare = estimated_tokens([USER])
    assert estimated_tokens([Message(role="user", content="Hi", images=("data:,",))]) > bare + 500
    called = Message(role="assistant", content="Hi", tool_calls=(CALL,))
    assert estimated_tokens([called]) > bare
