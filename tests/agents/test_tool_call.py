import asyncio

from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Budget, react, run, stream
from ragkit.agents.events import Observed
from ragkit.agents.state import AgentCall
from ragkit.agents.tool_call import journal_key
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, never, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM


def breaks(_: object) -> Json:
    raise RuntimeError("a bug")


async def test_a_tool_with_a_bug_is_an_observation_and_its_sibling_keeps_its_result() -> None:
    llm = ScriptedLLM(
        [says_action("", ("a", {"text": ""}), ("b", {"text": ""})), says_finish("ok")]
    )
    result = await run(
        react(llm, [RecordingTool(name="a", does=breaks), RecordingTool(name="b")]), "Q"
    )
    assert [(s.failed, s.result) for s in result.steps if s.kind == "tool"] == [
        (True, "a failed: RuntimeError: a bug"),
        (False, "b:"),
    ]


async def test_a_hanging_tool_is_stopped_when_the_time_is_over_and_the_answer_still_comes() -> None:
    llm = ScriptedLLM([says_action("", ("a", {"text": ""}), ("b", {"text": ""})), "From b."])
    tools = [RecordingTool(name="a", does=never), RecordingTool(name="b")]
    agent = react(llm, tools, budget=Budget(seconds=0.6))
    result = await run(agent, "Q")
    assert (result.answer, result.stopped_by) == ("From b.", "seconds")
    assert "its time is over" in llm.calls[-1].prompt
    assert "b:" in llm.calls[-1].prompt


async def test_a_tool_that_will_not_be_cancelled_does_not_hold_the_run() -> None:
    async def stubborn(_: object) -> Json:
        while True:
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                continue
            return None

    llm = ScriptedLLM([says_action("", ("a", {"text": ""})), "None."])
    agent = react(llm, [RecordingTool(name="a", does=stubborn)], budget=Budget(seconds=0.4))
    started = asyncio.get_running_loop().time()
    result = await run(agent, "Q")
    assert result.stopped_by == "seconds"
    assert asyncio.get_running_loop().time() - started < 1.9


async def test_a_call_that_repeats_is_noticed_then_stopped() -> None:
    llm = ScriptedLLM(
        lambda call: says_action("", ("a", {"text": "x"})) if call.grammar else "Gave up."
    )
    tool = RecordingTool(name="a")
    result = await run(react(llm, [tool]), "Q")
    assert (result.answer, result.stopped_by) == ("Gave up.", "repeats")
    assert len(tool.calls) == 3
    assert "this same result" not in llm.calls[1].prompt
    assert "this same result 2 times" in llm.calls[2].prompt


async def test_keys_are_the_same_for_the_same_call_and_differ_between_calls_and_runs() -> None:
    reply = says_action("", ("save", {"text": "1"}), ("save", {"text": "1"}))
    save = RecordingTool(name="save", permission="write")
    llm = ScriptedLLM(lambda call: reply if len(call.messages) == 2 else says_finish("ok"))
    agent = react(llm, [save], checkpointer=InMemorySaver())
    await run(agent, "Q", thread="t")
    await run(agent, "Q", thread="t")
    keys = [key for _, key in save.calls]
    assert len(set(keys)) == 4
    assert keys[0].startswith("t:1:1.1:")
    assert keys[2].startswith("t:2:1.1:")


def test_a_key_follows_from_run_step_tool_and_arguments() -> None:
    call = AgentCall(id="1.1", tool="a", arguments="{}", status="ready")
    key = journal_key("run", call)
    assert key.startswith("run:1.1:")
    assert key == journal_key("run", {**call, "tainted": True})
    others = {
        journal_key("other", call),
        journal_key("run", {**call, "id": "1.2"}),
        journal_key("run", {**call, "tool": "b"}),
        journal_key("run", {**call, "arguments": '{"n":1}'}),
    }
    assert key not in others
    assert len(others) == 4


async def test_a_result_of_a_large_value_keeps_its_text_and_not_the_value() -> None:
    tool = RecordingTool(name="a", does=lambda _: "x" * 300_000)
    llm = ScriptedLLM([says_action("", ("a", {"text": ""})), says_finish("ok")])
    events = [event async for event in stream(react(llm, [tool]), "Q")]
    (seen,) = [event for event in events if isinstance(event, Observed)]
    assert seen.trimmed
    assert len(seen.text) == 16_000
