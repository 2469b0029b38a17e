"""The values that an agent passes to another, after an interrupt too."""

from typing import Any, cast

from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Agent, Member, approve, react, resume, run, team
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM


def asking(agent: Agent) -> RecordingTool:
    """A tool that asks an agent of its own."""
    inner: Any = agent

    async def ask(arguments: Any) -> Json:
        return cast("Json", (await inner.ainvoke({"question": arguments["text"]}))["answer"])

    return RecordingTool(name="desk", does=ask)


async def test_an_agent_in_a_members_tool_keeps_its_own_question_after_an_approval() -> None:
    llm = ScriptedLLM(lambda _: says_finish("Three."))
    send = RecordingTool(name="send", permission="approve")
    acts = [
        says_action("", ("send", {"text": "x"})),
        says_action("", ("desk", {"text": "How many lamps?"})),
        says_finish("done"),
    ]
    clerk = react(ScriptedLLM(acts), [send, asking(react(llm, [], name="nested"))])
    lead = ScriptedLLM([says_action("", ("clerk", {"task": "Look."})), says_finish("End.")])
    member = Member(agent=clerk, does="Looks.")
    agent = team(lead, {"clerk": member}, checkpointer=InMemorySaver())
    await run(agent, "Q", thread="t")
    result = await resume(agent, "t", approve())
    assert (result.answer, len(send.calls)) == ("End.", 1)
    (call,) = llm.calls
    assert "Question: How many lamps?\nLeft: 16 steps" in call.messages[1].content
    assert {step.id for step in result.steps} == {
        "1", "1.1", "1.1/1", "1.1/1.1", "1.1/2", "1.1/2.1", "1.1/3", "2",
    }  # fmt: skip


async def test_an_agent_that_is_called_several_times_in_one_node_has_its_own_runs() -> None:
    llm = ScriptedLLM(lambda _: says_finish("Three."))
    inner: Any = react(llm, [])

    async def ask(_: object) -> Json:
        return [(await inner.ainvoke({"question": f"{n}?"}))["answer"] for n in range(2)]

    clerk = react(
        ScriptedLLM([says_action("", ("desk", {"text": "x"})), says_finish("done")]),
        [RecordingTool(name="desk", does=ask)],
    )
    lead = ScriptedLLM([says_action("", ("clerk", {"task": "Look."})), says_finish("End.")])
    agent = team(lead, {"clerk": Member(agent=clerk, does="Looks.")}, checkpointer=InMemorySaver())
    await run(agent, "Q", thread="t")
    asked = [call.messages[1].content for call in llm.calls]
    assert [text.partition("Question: ")[2].splitlines()[0] for text in asked] == ["0?", "1?"]


async def test_a_member_that_is_called_again_takes_over_each_task() -> None:
    llm = ScriptedLLM(lambda _: says_finish("done"))
    lead = ScriptedLLM(
        [
            says_action("", ("clerk", {"task": "First."})),
            says_action("", ("clerk", {"task": "Second."})),
            says_finish("End."),
        ]
    )
    agent = team(lead, {"clerk": Member(agent=react(llm, []), does="Looks.")})
    result = await run(agent, "Q")
    assert [step.id for step in result.steps] == ["1", "1.1/1", "1.1", "2", "2.1/1", "2.1", "3"]
    asked = [call.messages[1].content for call in llm.calls]
    assert ["First." in text for text in asked] == [True, False]
    assert ["Second." in text for text in asked] == [False, True]
