import asyncio
import json
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Agent, Budget, plan_and_execute, resume, run, stream
from ragkit.agents.approval import approve, refuse
from ragkit.agents.events import AnswerText, Called, Planned
from ragkit.agents.plan_execute import task_grammar
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.agents import Does, RecordingTool, count_bytes, never, says_action, says_finish
from ragkit.testing.llm import ScriptedCall, ScriptedLLM, random_replies


def says_tasks(*tasks: tuple[str, list[int]]) -> str:
    steps = [{"task": task, "needs": needs} for task, needs in tasks]
    return json.dumps({"thought": "", "steps": steps}, separators=(",", ":"))


def by_task(call: ScriptedCall) -> str:
    """The executor's way: looks the task up, then repeats what it saw."""
    task = call.messages[1].content.split("Question: ")[1].split("\n")[0]
    if len(call.messages) == 2:
        return says_action("", ("look", {"text": task}))
    return says_finish(f"{task} is known")


def look() -> RecordingTool:
    return RecordingTool(name="look")


def test_needs_are_earlier_tasks_by_the_grammar_and_nothing_is_left_to_check() -> None:
    grammar = task_grammar((1, 3), [1, 2], 4)
    assert not grammar.checked
    grammar.parse(says_tasks(("a", [1]), ("b", [4, 2]), ("c", [])))
    for bad in (says_tasks(("a", [4])), says_tasks(("a", [3])), says_tasks(("a", [1, 1]))):
        with pytest.raises(InputError):
            grammar.parse(bad)


async def test_the_results_of_tasks_do_not_stream_as_the_answer() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("B", [])), "All known."])
    agent = plan_and_execute(planner, [look()], executor=ScriptedLLM(by_task))
    events = [event async for event in stream(agent, "Q")]
    assert "".join(one.text for one in events if isinstance(one, AnswerText)) == "All known."


async def test_tasks_run_at_the_same_time_unless_one_needs_the_other() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("B", []), ("C", [1, 2])), "All known."])
    executor = ScriptedLLM(by_task)
    running = most = 0
    together = asyncio.Event()

    async def slow(given: object) -> Json:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            together.set()
        await together.wait()
        await asyncio.sleep(0.01)  # one too many would begin now
        running -= 1
        return str(given)

    tool = RecordingTool(name="look", does=slow)
    result = await run(plan_and_execute(planner, [tool], executor=executor), "Q")
    assert (result.answer, result.stopped_by) == ("All known.", "finished")
    assert most == 2
    assert [arguments["text"] for arguments, _ in tool.calls][2] == "C"
    third = next(call for call in executor.calls if "Question: C" in call.prompt)
    assert "A is known" in third.prompt
    assert "B is known" in third.prompt
    assert "C is known" in planner.calls[1].prompt
    ids = [step.id for step in result.steps]
    assert ids[:4] == ["1", "2", "3", "4"]
    parts = (f"{task}/{part}" for task in (2, 3, 4) for part in ("1", "1.1", "2"))
    assert sorted(ids[4:]) == [*parts, "5"]
    assert result.usage.prompt == sum(step.usage.prompt for step in result.steps if step.usage)


async def test_a_task_whose_executor_asks_for_it_is_planned_again_keeping_what_is_done() -> None:
    planner = ScriptedLLM(
        [
            says_tasks(("A", []), ("wrong", []), ("after", [2])),
            says_tasks(("right", [1])),
            "Done.",
        ]
    )

    def reply(call: ScriptedCall) -> str:
        if "Question: wrong" in call.prompt:
            return says_action("", ("replan", {"reason": "there is no such thing"}))
        return by_task(call)

    tool = look()
    result = await run(plan_and_execute(planner, [tool], executor=ScriptedLLM(reply)), "Q")
    again = planner.calls[1].prompt
    assert "there is no such thing" in again
    assert "task 3 blocked" in again
    assert "A is known" in again
    assert [arguments["text"] for arguments, _ in tool.calls] == ["A", "right"]
    assert result.answer == "Done."


async def test_an_executor_that_sees_the_answer_ends_all_work() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("B", [1]), ("C", [2]))])
    conclude = says_action("", ("conclude", {"answer": "It is 7."}))
    executor = ScriptedLLM([conclude])
    result = await run(plan_and_execute(planner, [look()], executor=executor), "Q")
    assert (result.answer, result.stopped_by) == ("It is 7.", "finished")
    assert len(planner.calls) == len(executor.calls) == 1


async def test_one_model_may_do_both_and_replans_are_bounded() -> None:
    def reply(call: ScriptedCall) -> str:
        if call.grammar is None:
            return "Could not."
        if "larger plan" in call.prompt:
            return says_action("", ("replan", {"reason": "no"}))
        return says_tasks(("A", []))

    llm = ScriptedLLM(reply)
    result = await run(plan_and_execute(llm, [look()], max_replans=1), "Q")
    assert result.answer == "Could not."
    assert [step.name for step in result.steps].count("planner") == 2


async def test_approvals_of_tasks_at_the_same_time_are_decided_one_by_one() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("B", [])), "Sent one."])

    def reply(call: ScriptedCall) -> str:
        task = call.messages[1].content.split("Question: ")[1].split("\n")[0]
        if len(call.messages) == 2:
            return says_action("", ("send", {"text": task}), ("look", {"text": task}))
        return says_finish(f"{task} over")

    send, tool = RecordingTool(name="send", permission="approve"), look()
    agent = plan_and_execute(
        planner, [send, tool], executor=ScriptedLLM(reply), checkpointer=InMemorySaver()
    )
    waiting = await run(agent, "Q", thread="t")
    assert sorted(str(pending.arguments["text"]) for pending in waiting.pending) == ["A", "B"]
    with pytest.raises(InputError, match="Several calls wait"):
        await resume(agent, "t", approve())
    decisions = {
        pending.id: approve() if pending.arguments["text"] == "A" else refuse("no")
        for pending in waiting.pending
    }
    result = await resume(agent, "t", decisions)
    assert result.answer == "Sent one."
    assert [arguments["text"] for arguments, _ in send.calls] == ["A"]
    assert len(tool.calls) == 2


async def test_events_of_tasks_reach_who_listens_to_the_whole() -> None:
    planner = ScriptedLLM([says_tasks(("A", [])), "ok"])
    agent = plan_and_execute(planner, [look()], executor=ScriptedLLM(by_task))
    events = [event async for event in stream(agent, "Q")]
    assert any(isinstance(event, Called) and event.step == "2/1.1" for event in events)
    assert next(event for event in events if isinstance(event, Planned)).steps == (("task 1", "A"),)


def fails(_: object) -> Json:
    raise ToolError("gone")


WILD: dict[str, Does] = {"fails": fails, "hangs": never, "huge": lambda _: "x" * 300_000}


@settings(max_examples=15, deadline=None)
@given_by(
    seed=st.integers(0, 10**6),
    steps=st.integers(1, 9),
    tokens=st.integers(300, 60_000),
    wild=st.sampled_from(sorted(WILD)),
)
def test_no_run_hangs_raises_exceeds_its_budget_or_loses_a_result(
    seed: int, steps: int, tokens: int, wild: str
) -> None:
    ordinary = RecordingTool(name="ordinary")
    tools = [RecordingTool(name="wild", does=WILD[wild]), ordinary]
    llm = ScriptedLLM(random_replies(seed, ending=random.Random(seed).choice([0.2, 0.6])))
    agent = plan_and_execute(
        llm, tools, max_steps=3, max_calls=2, count_tokens=count_bytes, answer_tokens=200,
        budget=Budget(steps=steps, tokens=tokens, seconds=0.5),
    )  # fmt: skip
    result = asyncio.run(asyncio.wait_for(run(agent, "What?"), timeout=20))
    assert result.answer
    assert len([step for step in result.steps if step.kind == "model"]) <= steps
    assert result.usage.prompt + result.usage.completion <= tokens
    done = [step for step in result.steps if step.name == "ordinary" and not step.failed]
    assert len(done) == len(ordinary.calls)


async def test_a_task_starts_when_what_it_needs_is_done_though_others_still_run() -> None:
    planner = ScriptedLLM([says_tasks(("slow", []), ("A", []), ("B", [2])), "All known."])
    begun = asyncio.Event()
    order: list[str] = []

    async def work(given: Mapping[str, Json]) -> Json:
        text = str(given["text"])
        if text == "slow":
            async with asyncio.timeout(60):
                await begun.wait()
        if text == "B":
            begun.set()
        order.append(text)
        return text

    tool = RecordingTool(name="look", does=work)
    result = await run(plan_and_execute(planner, [tool], executor=ScriptedLLM(by_task)), "Q")
    assert (result.answer, order) == ("All known.", ["A", "B", "slow"])
    assert result.stopped_by == "finished"


async def test_tasks_that_are_done_are_not_done_again_when_another_waits_for_a_person() -> None:
    saver = InMemorySaver()
    plan = says_tasks(("A", []), ("send", []), ("B", [1]), ("C", [2, 3]))
    send, tool = RecordingTool(name="send", permission="approve"), look()

    def reply(call: ScriptedCall) -> str:
        task = call.messages[1].content.split("Question: ")[1].split("\n")[0]
        if len(call.messages) == 2:
            return says_action("", ("send" if task == "send" else "look", {"text": task}))
        return says_finish(f"{task} over")

    def made(*replies: str) -> Agent:  # as another process would
        planner, executor = ScriptedLLM(replies), ScriptedLLM(reply)
        return plan_and_execute(planner, [send, tool], executor=executor, checkpointer=saver)

    waiting = await run(made(plan), "Q", thread="t")
    assert [pending.tool for pending in waiting.pending] == ["send"]
    assert given(tool) == ["A", "B"]
    result = await resume(made("Done."), "t", approve())
    assert result.answer == "Done."
    assert (given(tool), given(send)) == (["A", "B", "C"], ["send"])
    ids = [step.id for step in result.steps]
    assert len(ids) == len(set(ids))


def given(tool: RecordingTool) -> list[Json]:
    return [arguments["text"] for arguments, _ in tool.calls]


async def test_with_a_review_the_planner_changes_the_rest_of_the_plan_by_the_results() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("old", [1])), says_tasks(("new", [1])), "Done."])
    tool = look()
    agent = plan_and_execute(planner, [tool], executor=ScriptedLLM(by_task), review=True)
    result = await run(agent, "Q")
    assert (result.answer, given(tool)) == ("Done.", ["A", "new"])
    assert "Tasks that are planned next" in planner.calls[1].prompt
    assert "old" in planner.calls[1].prompt
    assert "A is known" in planner.calls[1].prompt


async def test_a_review_may_find_that_nothing_is_left_to_do() -> None:
    planner = ScriptedLLM([says_tasks(("A", []), ("old", [1])), says_tasks(), "Done."])
    tool = look()
    agent = plan_and_execute(planner, [tool], executor=ScriptedLLM(by_task), review=True)
    assert ((await run(agent, "Q")).answer, given(tool)) == ("Done.", ["A"])


async def test_tools_are_chosen_again_when_the_plan_changes() -> None:
    asked: list[str] = []

    async def select(question: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        asked.append(question)
        return [tool for tool in tools if tool.name == ("two" if "wrong" in question else "one")]

    def reply(call: ScriptedCall) -> str:
        if "Question: wrong" in call.prompt:
            return says_action("", ("replan", {"reason": "no"}))
        return says_finish("ok")

    planner = ScriptedLLM([says_tasks(("wrong", [])), says_tasks(("right", [])), "Done."])
    tools = [RecordingTool(name="one"), RecordingTool(name="two")]
    agent = plan_and_execute(planner, tools, executor=ScriptedLLM(reply), select=select)
    assert (await run(agent, "Q")).answer == "Done."
    systems = [call.messages[0].content for call in planner.calls[:2]]
    assert ["- one:" in system for system in systems] == [True, False]
    assert "Q\nwrong" in asked
