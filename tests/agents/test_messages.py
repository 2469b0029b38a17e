import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    REMOVE_ALL_MESSAGES,
)

from ragkit.agents.messages import (
    Earlier,
    asked_in,
    calls_message,
    earlier_messages,
    shared_messages,
    with_messages,
)
from ragkit.core.errors import InputError


def human(given: tuple[str | None, str]) -> HumanMessage:
    return HumanMessage(content=given[1], id=given[0])


def removal(name: str) -> RemoveMessage:
    return RemoveMessage(id=name)


written: st.SearchStrategy[list[object]] = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=5)}),
        st.tuples(st.just("assistant"), st.text(max_size=5)),
        st.tuples(st.sampled_from([None, "1", "2"]), st.text(max_size=5)).map(human),
        st.sampled_from(["1", "3", REMOVE_ALL_MESSAGES]).map(removal),
    ),
    max_size=5,
)


@settings(deadline=None)
@given(first=written, second=written)
def test_written_messages_are_the_same_in_one_batch_or_two(
    first: list[object], second: list[object]
) -> None:
    apart = with_messages(with_messages([], [first]), [second])
    together = with_messages([], [first, second])
    assert apart == together
    assert len({message.id for message in together}) == len(together)


def test_a_message_of_a_known_id_replaces_the_earlier_one_in_its_place() -> None:
    before = with_messages([], [[HumanMessage(content="a", id="1"), HumanMessage("b", id="2")]])
    after = with_messages(before, [HumanMessage(content="c", id="1")])
    assert [(message.id, message.content) for message in after] == [("1", "c"), ("2", "b")]


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
