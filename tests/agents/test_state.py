import json
import math

from hypothesis import given
from hypothesis import strategies as st

from ragkit.agents.budget import Amount
from ragkit.agents.state import (
    AgentCall,
    AgentState,
    arguments_of,
    clean,
    digest,
    dumped,
    limits_to_keep,
    loaded,
    waits,
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
