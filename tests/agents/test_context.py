from typing import Unpack

import pytest

from ragkit.agents import Budget, explain, react, run
from ragkit.agents.budget import Amount
from ragkit.agents.context import AgentContext
from ragkit.agents.options import AgentOptions, agent_context
from ragkit.agents.state import AgentState, Record
from ragkit.core.errors import ConfigError
from ragkit.testing.agents import RecordingTool, says_finish
from ragkit.testing.llm import ScriptedLLM


def test_a_prompt_that_the_agent_does_not_use_or_a_place_it_does_not_fill_is_refused() -> None:
    with pytest.raises(ConfigError, match="no prompt 'planner'; it has conversation, evidence"):
        react(ScriptedLLM([]), [], prompts={"planner": "x"})
    with pytest.raises(ConfigError, match="has the places tools, untrusted"):
        react(ScriptedLLM([]), [], prompts={"react": "{question} {tools}"})


async def test_a_replaced_prompt_is_what_the_model_gets() -> None:
    llm = ScriptedLLM([says_finish("ok")])
    agent = react(llm, [RecordingTool(name="a")], prompts={"react": "Be quick.\n{tools}"})
    result = await run(agent, "Q {tools}?")
    assert llm.calls[0].messages[0].content.startswith("Be quick.\n- a: ")
    assert "Q {tools}?" in llm.calls[0].messages[1].content
    assert result.steps[0].prompt == llm.calls[0].messages
    assert explain(agent).prompts["react"] == "Be quick.\n{tools}"
    assert explain(agent).tools == ("a",)


async def test_a_fence_is_another_in_each_run() -> None:
    llm = ScriptedLLM(lambda _: says_finish("ok"))
    agent = react(llm, [RecordingTool(name="a")])
    await run(agent, "Q")
    await run(agent, "Q")
    assert llm.calls[0].messages[1] != llm.calls[1].messages[1]
    assert llm.calls[0].messages[0] == llm.calls[1].messages[0]


def context(**options: Unpack[AgentOptions]) -> AgentContext:
    return agent_context(
        "react",
        ScriptedLLM([]),
        tools=[RecordingTool(name="a")],
        prompts=("react",),
        options=options,
    )


def test_steps_count_up_below_the_path_of_the_parent() -> None:
    turn = context().turn(AgentState(asked="Q", path="2.1/"))
    assert turn.note("first", "x") == "2.1/1"
    turn.trace.append(Record(id="2.1/1.1", kind="tool", name="a"))
    turn.trace.append(Record(id="2.1/1.1/1", kind="tool", name="a"))
    assert turn.next_step() == "2.1/2"


def test_an_update_holds_only_new_texts_and_steps() -> None:
    first = context().turn(AgentState(asked="Q"))
    first.note("one", "old text")
    before = first.update()
    state = AgentState(asked="Q", trace=before["trace"], texts=before["texts"])
    second = context().turn(state)
    second.keep("old text")
    second.note("two", "new text")
    update = second.update(tainted=True)
    assert list(update["texts"].values()) == ["new text"]
    assert [record["name"] for record in update["trace"]] == ["two"]
    assert update["tainted"]


def test_an_agent_that_works_for_another_has_the_tighter_limits() -> None:
    parent = context().turn(AgentState(asked="Q", run="r", fence="f"))
    inherited = parent.inherited("3", Amount(steps=2, tokens=500), tainted=True)
    child = context(budget=Budget(steps=9, tokens=100)).turn(
        AgentState(asked="q", inherited=inherited)
    )
    assert (child.limits.steps, child.limits.tokens) == (2, 100)
    assert inherited["path"] == "3/"
    assert inherited["tainted"]


def test_what_is_held_for_the_answer_is_in_the_rest_but_not_to_spare() -> None:
    turn = context(budget=Budget(steps=3, tokens=10_000)).turn(AgentState(asked="Q"))
    assert turn.left.steps == turn.spare.steps + 1
    assert turn.left.tokens > turn.spare.tokens


def test_background_is_kept_once_and_in_order() -> None:
    parent = context().turn(AgentState(asked="Q"))
    given = [("a", "one"), ("b", "two"), ("a", "one")]
    inherited = parent.inherited("1", Amount(), tainted=False, background=given)
    turn = context().turn(AgentState(asked="Q", inherited=inherited))
    assert turn.background == [("a", "one"), ("b", "two")]
