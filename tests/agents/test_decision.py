"""Decisions of a person: too late for a call, twice, or with other arguments than the model's."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import (
    Agent,
    Member,
    approve,
    edit,
    plan_and_execute,
    react,
    refuse,
    resume,
    rewoo,
    run,
    team,
)
from ragkit.core.errors import InputError
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

PATTERNS = ("react", "rewoo", "plan", "team", "tool")
ONE_TASK = '{"thought":"","steps":[{"task":"Pay.","needs":[]}]}'


def acting(call: ScriptedCall) -> str:
    """A model that pays once and then finishes."""
    if len(call.messages) > 2:
        return says_finish("ok")
    return says_action("", ("pay", {"text": "200"}))


def paying(pattern: str, pay: RecordingTool) -> Agent:
    """An agent of a pattern that pays, or one whose tool has an agent that does."""
    options: Any = {"checkpointer": InMemorySaver()}
    llm = ScriptedLLM(acting)
    match pattern:
        case "react":
            return react(llm, [pay], **options)
        case "rewoo":
            plan = says_plan(("pay", {"text": "200"}))
            return rewoo(ScriptedLLM([plan, "ok"]), [pay], **options)
        case "plan":
            return plan_and_execute(ScriptedLLM([ONE_TASK, "ok"]), [pay], executor=llm, **options)
        case "team":
            lead = ScriptedLLM([says_action("", ("clerk", {"task": "Pay."})), says_finish("ok")])
            return team(lead, {"clerk": Member(agent=react(llm, [pay]), does="Pays.")}, **options)
        case _:
            inner: Any = react(llm, [pay])

            async def ask(_: object) -> Json:
                return str((await inner.ainvoke({"question": "Pay."}))["answer"])

            lead = ScriptedLLM([says_action("", ("desk", {"text": "x"})), says_finish("ok")])
            return react(lead, [RecordingTool(name="desk", does=ask)], **options)


class Payments:
    """A tool that pays; the first call hangs until it is let go on."""

    def __init__(self) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()
        self.tool = RecordingTool(name="pay", permission="approve", does=self.pay)

    async def pay(self, _: Mapping[str, Json]) -> Json:
        self.begun.set()
        await self.goes_on.wait()
        return "paid"


async def approved_and_killed(agent: Agent, payments: Payments) -> str:
    """Approve the call that waits, kill the run while it is made; return the call's id."""
    (waiting,) = (await run(agent, "Pay.", thread="t")).pending
    task = asyncio.ensure_future(resume(agent, "t", {waiting.id: approve()}))
    await payments.begun.wait()
    task.cancel()
    await asyncio.wait({task})
    payments.goes_on.set()
    return waiting.id


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_decision_for_a_call_that_was_decided_before_a_crash_is_an_error(
    pattern: str,
) -> None:
    payments = Payments()
    agent = paying(pattern, payments.tool)
    call = await approved_and_killed(agent, payments)
    made = len(payments.tool.calls)
    late: tuple[Any, ...] = (refuse("stop!"), {call: refuse()}, {"nonsense": refuse()}, {})
    for decision in late:
        with pytest.raises(InputError, match=r"No call of the thread 't' waits .* Fix: resume"):
            await resume(agent, "t", decision)
    assert len(payments.tool.calls) == made


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_run_that_was_killed_after_an_approval_goes_on_without_a_decision(
    pattern: str,
) -> None:
    payments = Payments()
    agent = paying(pattern, payments.tool)
    await approved_and_killed(agent, payments)
    result = await resume(agent, "t")
    assert (result.answer, result.pending) == ("ok", ())
    assert len({key for _, key in payments.tool.calls}) == 1


async def test_of_two_tasks_the_one_that_still_waits_is_decided_after_a_crash() -> None:
    payments = Payments()
    tasks = json.dumps({"thought": "", "steps": [{"task": "Pay.", "needs": []}] * 2})
    agent = plan_and_execute(
        ScriptedLLM([tasks.replace(", ", ",").replace(": ", ":"), "ok"]),
        [payments.tool],
        executor=ScriptedLLM(acting),
        checkpointer=InMemorySaver(),
    )
    first, second = (await run(agent, "Pay.", thread="t")).pending
    task = asyncio.ensure_future(resume(agent, "t", {first.id: approve()}))
    await payments.begun.wait()
    task.cancel()
    await asyncio.wait({task})
    payments.goes_on.set()
    with pytest.raises(InputError, match="the calls that wait are"):
        await resume(agent, "t", {first.id: refuse()})
    assert (await resume(agent, "t", {second.id: approve()})).answer == "ok"
    assert len({key for _, key in payments.tool.calls}) == 2


async def test_a_second_click_while_the_call_is_made_does_not_break_the_first() -> None:
    payments = Payments()
    agent = paying("react", payments.tool)
    await run(agent, "Pay.", thread="t")
    first = asyncio.ensure_future(resume(agent, "t", approve()))
    await payments.begun.wait()
    with pytest.raises(InputError, match="No call of the thread 't' waits"):
        await resume(agent, "t", approve())
    payments.goes_on.set()
    assert (await first).answer == "ok"
    assert len(payments.tool.calls) == 1


# Other arguments than the model's


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_after_an_edit_the_messages_hold_the_call_that_was_made(pattern: str) -> None:
    pay = RecordingTool(name="pay", permission="approve", does=lambda _: "number 4711")
    agent = paying(pattern, pay)
    await run(agent, "Pay.", thread="t")
    result = await resume(agent, "t", edit({"text": "1"}))
    assert [dict(arguments) for arguments, _ in pay.calls] == [{"text": "1"}]
    state = await agent.aget_state({"configurable": {"thread_id": "t"}})
    calls = [
        call["args"]
        for message in state.values["messages"]
        for call in getattr(message, "tool_calls", [])
        if call["name"] == "pay"
    ]
    assert calls == ([] if pattern == "tool" else [{"text": "1"}])
    made = [step.arguments for step in result.steps if step.name == "pay"]
    assert made == ([] if pattern == "tool" else [{"text": "1"}])


async def test_the_model_reads_which_arguments_a_person_changed_as_data() -> None:
    llm = ScriptedLLM(acting)
    pay = RecordingTool(name="pay", permission="approve", does=lambda _: "number 4711")
    agent = react(llm, [pay], checkpointer=InMemorySaver())
    await run(agent, "Pay.", thread="t")
    await resume(agent, "t", edit({"text": "1"}))
    fence = llm.calls[0].messages[1].content.partition("data marks is ")[2].split(".")[0]
    assert (
        llm.calls[1]
        .messages[-1]
        .content.startswith(
            "A person changed the arguments of this call to these:\n"
            f'<data {fence} 1.1 pay arguments>\n{{"text":"1"}}\n</data {fence}>\n'
            f"<data {fence} 1.1 pay>\nnumber 4711\n</data {fence}>"
        )
    )


async def test_an_answer_from_evidence_knows_the_arguments_that_a_person_set() -> None:
    pay = RecordingTool(name="pay", permission="approve", does=lambda _: "number 4711")
    llm = ScriptedLLM([says_plan(("pay", {"text": "200"})), "ok"])
    agent = rewoo(llm, [pay], checkpointer=InMemorySaver())
    await run(agent, "Pay.", thread="t")
    await resume(agent, "t", edit({"text": "1"}))
    assert 'arguments of pay 1.1, as a person set them>\n{"text":"1"}' in llm.calls[1].prompt


async def test_an_edit_that_changes_nothing_is_an_approval() -> None:
    llm = ScriptedLLM(acting)
    pay = RecordingTool(name="pay", permission="approve")
    agent = react(llm, [pay], checkpointer=InMemorySaver())
    await run(agent, "Pay.", thread="t")
    await resume(agent, "t", edit({"text": "200"}))
    assert "A person changed" not in llm.calls[1].prompt
