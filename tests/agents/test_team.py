import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Agent, AgentOptions, Budget, Hook, Member, react, resume, run, team
from ragkit.agents.approval import approve
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Citation, Json, ToolResult
from ragkit.grammar import Limits
from ragkit.testing.agents import RecordingTool, count_bytes, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM, random_replies

SOURCE = Citation(chunk_id="c", uri="u", quote="q", start=0, end=1)


async def test_a_supervisor_hands_tasks_over_and_the_steps_of_members_are_below_its_own() -> None:
    look = RecordingTool(name="look", citations=(SOURCE,))
    researcher = react(
        ScriptedLLM([says_action("", ("look", {"text": "x"})), says_finish("x is 7")]), [look]
    )
    writer = react(ScriptedLLM([says_finish("A poem on 7.")]), [])
    lead = ScriptedLLM(
        [
            says_action("", ("researcher", {"task": "Find x."})),
            says_action("", ("writer", {"task": "A poem on 7, please."})),
            says_finish("Here: A poem on 7."),
        ]
    )
    members = {
        "researcher": Member(agent=researcher, does="Finds things."),
        "writer": Member(agent=writer, does="Writes poems."),
    }
    result = await run(team(lead, members), "A poem on x?")
    assert (result.answer, result.citations) == ("Here: A poem on 7.", (SOURCE,))
    assert [step.id for step in result.steps] == [
        "1", "1.1/1", "1.1/1.1", "1.1/2", "1.1", "2", "2.1/1", "2.1", "3",
    ]  # fmt: skip
    assert "Finds things." in lead.calls[0].prompt
    assert "x is 7" in lead.calls[1].prompt
    assert "x is 7" not in lead.calls[1].messages[0].content
    assert result.usage.prompt == sum(step.usage.prompt for step in result.steps if step.usage)


async def test_what_one_member_found_makes_the_next_ask_before_it_writes() -> None:
    reader = react(ScriptedLLM([says_finish("mail everyone!")]), [])
    send = RecordingTool(name="send", permission="write")
    sender = react(
        ScriptedLLM([says_action("", ("send", {"text": "hi"})), says_finish("sent")]), [send]
    )
    lead = ScriptedLLM(
        [
            says_action("", ("reader", {"task": "Read."})),
            says_action("", ("sender", {"task": "mail everyone!"})),
            says_finish("All sent."),
        ]
    )
    members = {
        "reader": Member(agent=reader, does="Reads."),
        "sender": Member(agent=sender, does="Sends."),
    }
    agent = team(lead, members, checkpointer=InMemorySaver())
    waiting = await run(agent, "Q", thread="t")
    assert [pending.tool for pending in waiting.pending] == ["send"]
    assert not send.calls
    result = await resume(agent, "t", approve())
    assert result.answer == "All sent."
    assert len(send.calls) == 1
    assert len(lead.calls) == 3


def team_of_one(*lead: str, **options: Unpack[AgentOptions]) -> tuple[Agent, ScriptedLLM]:
    """A team of one clerk, and the clerk's model."""
    llm = ScriptedLLM(lambda _: says_finish("It is a secret."))
    members = {"clerk": Member(agent=react(llm, []), does="Looks.")}
    return team(ScriptedLLM([*lead, says_finish("End.")]), members, **options), llm


async def test_a_task_that_was_cut_at_its_bound_is_not_handed_over() -> None:
    cut = says_action("", ("clerk", {"task": "x" * 300}))
    agent, llm = team_of_one(cut, limits=Limits(string_length=300))
    result = await run(agent, "Q")
    (step,) = [step for step in result.steps if step.kind == "tool"]
    assert (result.answer, llm.calls) == ("End.", [])
    assert step.failed
    assert step.result.startswith("Not made: task reached the most characters")


async def test_the_hooks_of_a_team_see_its_hand_overs_and_may_refuse_them() -> None:
    seen: list[object] = []

    class Guard(Hook):
        async def before_tool(self, step: str, tool: str, arguments: Mapping[str, Json]) -> None:
            seen.append((step, tool, dict(arguments)))
            if arguments["task"] == "Delete all.":
                raise ToolError("Not this task.")

        async def after_tool(self, step: str, tool: str, result: ToolResult) -> ToolResult:
            return replace(result, text=result.text.replace("secret", "***"))

    tasks = ("Delete all.", "Look.")
    calls = [says_action("", ("clerk", {"task": task})) for task in tasks]
    agent, llm = team_of_one(*calls, hooks=[Guard()])
    result = await run(agent, "Q")
    assert seen == [(f"{n}.1", "clerk", {"task": task}) for n, task in enumerate(tasks, 1)]
    assert [(step.failed, step.result) for step in result.steps if step.kind == "tool"] == [
        (True, "Not this task."),
        (False, "It is a ***."),
    ]
    assert len(llm.calls) == 1


@pytest.mark.parametrize("members", [[], "clerk", {"clerk": react(ScriptedLLM([]), [])}])
def test_members_of_another_form_are_refused(members: Any) -> None:
    with pytest.raises(InputError, match="Fix: pass a dictionary of a Member for each name"):
        team(ScriptedLLM([]), members)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), tokens=st.integers(300, 50_000))
def test_a_team_never_exceeds_its_budget(seed: int, steps: int, tokens: int) -> None:
    llm = ScriptedLLM(random_replies(seed, ending=0.6))
    tool = RecordingTool(name="look")
    one = react(llm, [tool], count_tokens=count_bytes, answer_tokens=200)
    agent = team(
        llm, {"one": Member(agent=one, does="Looks.")}, count_tokens=count_bytes,
        answer_tokens=200, budget=Budget(steps=steps, tokens=tokens, seconds=5),
    )  # fmt: skip
    result = asyncio.run(asyncio.wait_for(run(agent, "What?"), timeout=20))
    assert result.answer
    assert len([step for step in result.steps if step.kind == "model"]) <= steps
    assert result.usage.prompt + result.usage.completion <= tokens
