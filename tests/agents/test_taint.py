"""Untrusted text on its ways to a `write`: through other tools, and through broken-off runs."""

import asyncio
from collections.abc import Mapping

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Member, plan_and_execute, react, resume, rewoo, run, team
from ragkit.agents.agent import Agent
from ragkit.agents.approval import approve
from ragkit.core.types import Json
from ragkit.testing.agents import (
    RecordingTool,
    joins,
    never,
    refers_to,
    says_action,
    says_plan,
)
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


def send() -> RecordingTool:
    return RecordingTool(name="send", permission="write")


async def test_a_trusted_tool_does_not_clean_the_untrusted_text_that_it_passes_on() -> None:
    fetch = RecordingTool(name="fetch", does=lambda _: "Attacker@evil")
    lower = RecordingTool(name="lower", does=lambda given: str(given["text"]).lower())
    plan = says_plan(
        ("fetch", {"text": "x"}),
        ("lower", {"text": refers_to("#E1")}),
        ("lower", {"text": joins("To: ", refers_to("#E2"))}),
        ("send", {"text": refers_to("#E3")}),
        ("lower", {"text": "CLEAN"}),
        ("send", {"text": refers_to("#E5")}),
    )
    sent = send()
    agent = rewoo(
        ScriptedLLM([plan, "ok"]),
        [fetch, lower, sent],
        trusted_tools=["lower"],
        checkpointer=InMemorySaver(),
    )
    waiting = await run(agent, "Q", thread="t")
    assert [call.arguments for call in waiting.pending] == [{"text": "to: attacker@evil"}]
    assert [arguments for arguments, _ in sent.calls] == [{"text": "clean"}]
    assert (await resume(agent, "t", approve())).answer == "ok"
    assert len(sent.calls) == 2


def acts(call: ScriptedCall) -> str:
    """Read and send what was read in the first question; send at once in the second."""
    if call.grammar is None:
        return "Done."
    first = not any(later in call.prompt for later in ("Second: ", "Third: ", "Send hi."))
    system = call.messages[0].content
    if "Write the whole plan at once" in system:
        if first:
            return says_plan(("fetch", {"text": ""}), ("send", {"text": refers_to("#E1")}))
        return says_plan(("send", {"text": "hi"}))
    if system.startswith("You plan"):
        task = "Fetch and send." if first else "Send hi."
        return f'{{"thought":"","steps":[{{"task":"{task}","needs":[]}}]}}'
    if "- worker:" in system:
        return says_action("", ("worker", {"task": "Fetch and send." if first else "Send hi."}))
    if first and len(call.messages) == 2:
        return says_action("", ("fetch", {"text": ""}))
    return says_action("", ("send", {"text": "hi"}))


def made(pattern: str, tools: list[RecordingTool]) -> Agent:
    llm, saver = ScriptedLLM(acts), InMemorySaver()
    if pattern == "react":
        return react(llm, tools, checkpointer=saver)
    if pattern == "rewoo":
        return rewoo(llm, tools, checkpointer=saver)
    if pattern == "plan":
        return plan_and_execute(llm, tools, checkpointer=saver)
    worker = Member(agent=react(llm, tools), does="Works.")
    return team(llm, {"worker": worker}, checkpointer=saver)


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan", "team"])
async def test_a_question_beside_a_call_that_waits_finds_the_thread_tainted(pattern: str) -> None:
    sent = send()
    agent = made(pattern, [RecordingTool(name="fetch"), sent])
    for question in ("First: fetch and send.", "Second: send.", "Third: send."):
        waiting = await run(agent, question, thread="t")
        assert [call.tool for call in waiting.pending] == ["send"], question
    assert not sent.calls


async def test_a_question_beside_a_call_that_waits_asks_nothing_where_no_text_was_read() -> None:
    sent, order = send(), RecordingTool(name="order", permission="approve")
    llm = ScriptedLLM(
        [
            says_action("", ("order", {"text": "a lamp"})),
            says_action("", ("send", {"text": "hi"})),
            says_action("", ("finish", {"answer": "Sent."})),
        ]
    )
    agent = react(llm, [sent, order], trusted_tools=["send"], checkpointer=InMemorySaver())
    assert len((await run(agent, "Order a lamp.", thread="t")).pending) == 1
    assert (await run(agent, "Leave it. Send hi.", thread="t")).answer == "Sent."
    assert len(sent.calls) == 1


async def test_a_run_that_was_broken_off_taints_no_thread_of_trusted_tools() -> None:
    begun = asyncio.Event()

    async def wait(given: Mapping[str, Json]) -> Json:
        begun.set()
        return await never(given)

    sent = RecordingTool(name="send", permission="write", does=wait)
    llm = ScriptedLLM(lambda _: says_action("", ("send", {"text": "hi"})))
    agent = react(llm, [sent], trusted_tools=["send"], checkpointer=InMemorySaver())
    for question in ("Q", "Again"):
        begun.clear()
        running = asyncio.create_task(run(agent, question, thread="t"))
        await begun.wait()  # nobody is asked
        running.cancel()
        await asyncio.wait([running])
