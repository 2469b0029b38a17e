import asyncio
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from ragkit.agents import Budget, MemoryJournal, approve, react, resume, run, stream
from ragkit.agents.events import Observed
from ragkit.agents.state import AgentCall
from ragkit.agents.tool_call import journal_key
from ragkit.core.types import Json, Permission
from ragkit.testing.agents import Does, RecordingTool, never, says_action, says_finish
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
    agent = react(llm, [save], checkpointer=InMemorySaver(), trusted_tools=["save"])
    await run(agent, "Q", thread="t")
    await run(agent, "Q", thread="t")
    keys = [key for _, key in save.calls]
    assert len(set(keys)) == 4
    runs = [key.split(":1.")[0] for key in keys]
    assert runs[0] == runs[1]
    assert runs[2] == runs[3]
    assert [run.startswith(("t:1:", "t:2:")) for run in runs] == [True] * 4


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


async def test_several_tools_that_interrupt_get_their_own_answers_and_each_is_done_once() -> None:
    done: list[str] = []

    def asks(name: str) -> Does:
        async def ask(_: object) -> Json:
            answer = str(interrupt(f"{name}?"))
            done.append(f"{name}={answer}")
            return answer

        return ask

    names = ("one", "two", "three")
    tools = [RecordingTool(name=name, does=asks(name)) for name in names]
    calls = says_action("", *((name, {"text": ""}) for name in names))
    agent = react(ScriptedLLM([calls, says_finish("ok")]), tools, checkpointer=InMemorySaver())
    result = await run(agent, "Q", thread="t")
    assert sorted(pending.reason for pending in result.pending) == ["one?", "three?", "two?"]
    # Answered one after the other, in another order than asked.
    while result.pending:
        pending = result.pending[-1]
        result = await resume(agent, "t", {pending.id: f"to {pending.reason}"})
    assert sorted(done) == ["one=to one?", "three=to three?", "two=to two?"]
    assert [(step.name, step.result) for step in result.steps if step.kind == "tool"] == [
        (name, f"to {name}?") for name in names
    ]


async def test_sub_agents_called_in_one_turn_keep_their_own_answers_and_approvals() -> None:
    sent = RecordingTool(name="send", permission="approve")

    def agent_tool(name: str) -> RecordingTool:
        replies = [says_action("", ("send", {"text": name})), says_finish(f"{name} is done")]
        inner: Any = react(ScriptedLLM(replies), [sent])

        async def ask(_: object) -> Json:
            return cast("Json", (await inner.ainvoke({"question": name}))["answer"])

        return RecordingTool(name=name, does=ask)

    calls = says_action("", ("ann", {"text": ""}), ("ben", {"text": ""}))
    agent = react(
        ScriptedLLM([calls, says_finish("ok")]),
        [agent_tool("ann"), agent_tool("ben")],
        checkpointer=InMemorySaver(),
    )
    result = await run(agent, "Q", thread="t")
    assert sorted(str(one.arguments["text"]) for one in result.pending) == ["ann", "ben"]
    while result.pending:
        result = await resume(agent, "t", {result.pending[-1].id: approve()})
    assert sorted(str(arguments["text"]) for arguments, _ in sent.calls) == ["ann", "ben"]
    shown = {step.name: step.result for step in result.steps if step.kind == "tool"}
    assert shown == {"ann": "ann is done", "ben": "ben is done"}


async def test_no_more_calls_than_allowed_run_at_the_same_time() -> None:
    running = most = 0
    together = asyncio.Event()

    async def slow(_: object) -> Json:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            together.set()
        await together.wait()
        await asyncio.sleep(0.01)  # one too many would begin now
        running -= 1
        return "ok"

    calls = says_action("", *(("slow", {"text": str(n)}) for n in range(4)))
    llm = ScriptedLLM([calls, says_finish("ok")])
    await run(react(llm, [RecordingTool(name="slow", does=slow)], parallel=2), "Q")
    assert most == 2


async def interrupted(agent: Any, begun: asyncio.Event) -> None:
    """Start a run in the thread "t" and cancel it once a call has begun."""
    task = asyncio.ensure_future(run(agent, "Q", thread="t"))
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("permission", ["read", "write"])
async def test_an_interrupted_call_is_made_again_only_where_that_does_no_harm(
    permission: Permission, repeatable: bool
) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def work(_: object) -> Json:
        begun.set()
        await goes_on.wait()
        return "done"

    tool = RecordingTool(name="work", does=work, permission=permission, repeatable=repeatable)
    llm = ScriptedLLM([says_action("", ("work", {"text": "x"})), says_finish("ok")])
    agent = react(llm, [tool], checkpointer=InMemorySaver())
    await interrupted(agent, begun)
    goes_on.set()
    result = await resume(agent, "t")
    assert result.answer == "ok"
    assert len({key for _, key in tool.calls}) == 1
    assert len(tool.calls) == (2 if repeatable else 1)
    (step,) = [step for step in result.steps if step.kind == "tool"]
    assert step.failed != repeatable
    assert ("not known whether this call had its effect" in step.result) != repeatable


async def test_a_thread_of_the_name_of_a_deleted_one_has_no_stale_results() -> None:
    saver, look = InMemorySaver(), RecordingTool(name="look")
    reply = says_action("", ("look", {"text": "x"}))
    llm = ScriptedLLM(lambda call: reply if len(call.messages) == 2 else says_finish("ok"))
    agent = react(llm, [look], checkpointer=saver, journal=MemoryJournal())
    for _ in range(2):
        await run(agent, "Q", thread="t")
        await saver.adelete_thread("t")
    assert len(look.calls) == 2


async def test_the_journal_of_an_agent_without_one_does_not_grow() -> None:
    llm = ScriptedLLM(
        lambda call: (
            says_action("", ("look", {"text": "x"}))
            if len(call.messages) == 2
            else says_finish("ok")
        )
    )
    agent: Any = react(llm, [RecordingTool(name="look")], checkpointer=InMemorySaver())
    for number in range(3):
        await run(agent, "Q", thread=str(number))
    assert await agent.builder.context.run_journal.entries() == []
