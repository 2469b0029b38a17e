from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.constants import END, START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)

from ragkit.agents import explain, react, run
from ragkit.agents.model_call import fenced, shared_out, trimmed
from ragkit.core.errors import ConfigError, InputError
from ragkit.testing.agents import RecordingTool, says_action
from ragkit.testing.llm import ScriptedLLM


def finish(answer: str) -> str:
    return says_action("", ("finish", {"answer": answer}))


def test_a_prompt_that_the_agent_does_not_use_or_a_place_it_does_not_fill_is_refused() -> None:
    with pytest.raises(ConfigError, match="no prompt 'planner'; it has evidence, observations"):
        react(ScriptedLLM([]), [], prompts={"planner": "x"})
    with pytest.raises(ConfigError, match="has the places tools, untrusted"):
        react(ScriptedLLM([]), [], prompts={"react": "{question} {tools}"})


async def test_a_replaced_prompt_is_what_the_model_gets() -> None:
    llm = ScriptedLLM([finish("ok")])
    agent = react(llm, [RecordingTool(name="a")], prompts={"react": "Be quick.\n{tools}"})
    result = await run(agent, "Q {tools}?")
    assert llm.calls[0].messages[0].content.startswith("Be quick.\n- a: ")
    assert "Q {tools}?" in llm.calls[0].messages[1].content
    assert result.steps[0].prompt == llm.calls[0].messages
    assert explain(agent).prompts["react"] == "Be quick.\n{tools}"
    assert explain(agent).tools == ("a",)


def test_only_agents_can_be_explained() -> None:
    graph: Any = StateGraph(State)
    graph.add_node("a", lambda state: state)  # pyright: ignore[reportUnknownLambdaType]
    graph.add_edge(START, "a")
    with pytest.raises(InputError, match="no agent of ragkit"):
        explain(graph.compile())


class State(TypedDict, total=False):
    question: str
    answer: str
    loud: str


async def test_an_agent_is_a_node_of_a_graph_of_ones_own() -> None:
    def shout(state: State) -> State:
        return {"loud": state.get("answer", "").upper()}

    graph: Any = StateGraph(State)
    graph.add_node("agent", react(ScriptedLLM([finish("quiet")]), [RecordingTool(name="a")]))
    graph.add_node("shout", shout)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "shout")
    graph.add_edge("shout", END)
    state = await graph.compile().ainvoke({"question": "Q"})
    assert state == {"question": "Q", "answer": "quiet", "loud": "QUIET"}


@given(texts=st.lists(st.text(max_size=60), max_size=6), characters=st.integers(0, 200))
def test_texts_share_the_room_and_short_ones_stay_whole(texts: list[str], characters: int) -> None:
    cut = shared_out(texts, characters)
    assert sum(map(len, cut)) <= max(characters, 0)
    fair = characters // max(1, len(texts))
    for before, after in zip(texts, cut, strict=True):
        assert after == before or len(before) > fair


@given(text=st.text(max_size=300), characters=st.integers(0, 320))
def test_trimmed_text_is_never_longer_and_keeps_both_ends(text: str, characters: int) -> None:
    cut = trimmed(text, characters)
    assert len(cut) <= max(characters, 0) or cut == text
    assert cut == text or text.startswith(cut[: characters // 4])


@given(text=st.text(alphabet="<>/data 0f1e\n", max_size=80))
def test_fenced_text_holds_its_fence_twice(text: str) -> None:
    shown = fenced(text, fence="0f1e", label=f"x {text}")
    assert shown.count("0f1e") == 2
