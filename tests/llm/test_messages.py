from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.types import Message
from ragkit.llm.messages import estimated_tokens, messages_of

USER = Message(role="user", content="Hi")


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
        ([{"role": "boss", "content": "x"}], "has the role 'boss'. Fix: use one of"),
        ([{"role": "user", "content": 1}], "content of message 0 is not a text: 1"),
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
