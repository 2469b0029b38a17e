import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, RemoveMessage
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    REMOVE_ALL_MESSAGES,
)

from ragkit.agents.budget import Amount, Spent, nothing_spent
from ragkit.agents.state import (
    AgentCall,
    AgentState,
    arguments_of,
    changed,
    clean,
    digest,
    dumped,
    limits_to_keep,
    loaded,
    may_have_read,
    waits,
    with_messages,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_a_json_value_comes_back_as_it_was_but_for_lone_surrogates(value: object) -> None:
    assert loaded(dumped(value)) == json.loads(clean(json.dumps(value, ensure_ascii=False)))


def test_a_value_beyond_json_is_kept_as_text() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value in ({1, 2}, circle, object(), {(1, 2): 3}):
        assert isinstance(loaded(dumped(value)), str)


@given(st.text())
def test_texts_have_one_name_each_and_can_be_written(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert digest(cleaned) == digest(cleaned)
    assert digest(cleaned) != digest(cleaned + "x")


def test_only_limited_amounts_are_kept() -> None:
    assert limits_to_keep(Amount(steps=3, tokens=math.inf)) == {"steps": 3.0}
    assert Amount(**limits_to_keep(Amount(cost=0.5))) == Amount(cost=0.5)


def test_a_call_waits_until_a_person_decided() -> None:
    call = AgentCall(id="1.1", tool="a", arguments='{"n":1}', status="ask")
    assert arguments_of(call) == {"n": 1}
    assert waits(AgentState(asked="Q", calls=[call]))
    assert not waits(AgentState(asked="Q", calls=[{**call, "status": "ready"}]))
    assert not waits(AgentState(asked="Q"))


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


def test_an_update_leaves_out_what_the_state_holds() -> None:
    calls = [{"id": "1"}]
    state: dict[str, Any] = {
        "tainted": True,
        "ended_by": {},
        "calls": calls,
        "trace": [{"id": "1"}],
        "answer": "",
    }
    assert changed(state, {"tainted": True, "ended_by": {}, "answer": "", "trace": []}) == {}
    # A list that a node may have changed in place, and a value that the state does not have yet.
    assert changed(state, {"calls": calls, "chosen": []}) == {"calls": calls, "chosen": []}
    new: dict[str, Any] = {"tainted": False, "calls": [], "trace": [{"id": "2"}], "answer": None}
    assert changed(state, new) == new


def test_a_run_that_stopped_within_a_node_may_have_read_untrusted_text() -> None:
    spent: Spent = {**nothing_spent(), "steps": 1}
    waiting = AgentCall(id="1.1", tool="a", arguments="{}", status="ask")
    assert may_have_read(AgentState(spent=spent))
    assert not may_have_read(AgentState(spent=nothing_spent()))
    assert not may_have_read(AgentState(spent=spent, answer="Done."))
    assert not may_have_read(AgentState(spent=spent, calls=[waiting]))
