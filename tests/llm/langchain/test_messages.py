import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ragkit import InputError
from ragkit.core.types import Message
from ragkit.llm.langchain.messages import ragkit_messages


def _said(*messages: Any, instructions: str = "") -> list[tuple[str, str]]:
    found = ragkit_messages(messages, instructions=instructions)
    return [(message.role, message.content) for message in found]


def test_roles_are_kept() -> None:
    assert _said(SystemMessage("Be short."), HumanMessage("Hi"), AIMessage("Hello")) == [
        ("system", "Be short."),
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]


def test_instructions_follow_the_system_message_or_are_it() -> None:
    assert _said(SystemMessage("A"), HumanMessage("Hi"), instructions="B")[0] == (
        "system",
        "A\n\nB",
    )
    assert _said(HumanMessage("Hi"), instructions="B")[0] == ("system", "B")
    assert _said(HumanMessage("Hi")) == [("user", "Hi")]


def test_successive_messages_of_one_role_become_one() -> None:
    assert _said(HumanMessage("a"), HumanMessage("b")) == [("user", "a\n\nb")]


def test_calls_are_written_as_they_are_decoded_and_results_name_their_tool() -> None:
    call = {"name": "look", "args": {"x": 1}, "id": "1", "type": "tool_call"}
    found = _said(
        HumanMessage("Hi"),
        AIMessage(content="Let me see.", tool_calls=[call]),
        ToolMessage("found", tool_call_id="1"),
        ToolMessage("broken", tool_call_id="2", name="other", status="error"),
    )
    assert json.loads(found[1][1]) == {
        "thought": "Let me see.",
        "calls": [{"tool": "look", "arguments": {"x": 1}}],
    }
    assert found[2] == ("user", "Result of look:\nfound\n\nError of other:\nbroken")


def test_text_blocks_are_joined_and_others_refused() -> None:
    blocks: list[Any] = ["a", {"type": "text", "text": "b"}, {"type": "tool_use", "id": "1"}]
    assert _said(HumanMessage(blocks)) == [("user", "a\nb")]
    picture: list[Any] = [{"type": "image_url", "image_url": {"url": "x"}}]
    with pytest.raises(InputError, match=r"content of the type 'image_url'.* Fix: send text"):
        _said(HumanMessage(picture))


def test_older_kinds_of_messages_are_read_and_unknown_ones_refused() -> None:
    assert _said(FunctionMessage(content="3", name="add")) == [("user", "Result of add:\n3")]
    assert _said(ChatMessage(content="x", role="assistant")) == [("assistant", "x")]
    with pytest.raises(InputError, match=r"of the type 'chat' cannot be sent"):
        _said(ChatMessage(content="x", role="critic"))


def test_the_result_is_what_ragkits_models_take() -> None:
    assert ragkit_messages([HumanMessage("Hi")]) == [Message(role="user", content="Hi")]
