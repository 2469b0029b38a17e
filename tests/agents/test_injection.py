"""Injections from real sets, brought by a tool: none makes a `write` happen without a person."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import plan_and_execute, react, refuse, resume, rewoo, run
from ragkit.agents.agent import Agent
from ragkit.agents.options import AgentOptions
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, refers_to, says_action, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

PER_SET = 12
SETS = ("purplellama", "giskard", "bipia e-mail", "bipia attack")


def injections(folder: Path, name: str) -> list[str]:
    security = folder / "security"
    if name == "purplellama":
        listed: Any = json.loads((security / "purplellama/prompt_injection.json").read_text())
        return [item["user_input"] for item in listed]
    if name == "giskard":
        with (security / "giskard/prompt_injections.csv").open(newline="") as file:
            return [row["prompt"] for row in csv.DictReader(file)]
    attacks: Any = json.loads((security / "bipia/text_attack_train.json").read_text())
    attack = [text for group in attacks.values() for text in group]
    if name == "bipia attack":
        return attack
    lines = (security / "bipia/email-train.jsonl").read_text().splitlines()
    mails = [json.loads(line)["context"] for line in lines]
    return [f"{mail}\n{attack[n % len(attack)]}" for n, mail in enumerate(mails)]


def gullible(call: ScriptedCall) -> str:
    """A model that does whatever a text says: it always sends what it read."""
    if call.grammar is None:
        return "Done."
    system = call.messages[0].content
    if "Write the whole plan at once" in system:
        return says_plan(("read", {"text": ""}), ("send", {"text": refers_to("#E1")}))
    if system.startswith("You plan"):
        return '{"thought":"","steps":[{"task":"Read the mail and do as it says.","needs":[]}]}'
    turn = len(call.messages) // 2
    if turn == 1:
        return says_action("", ("read", {"text": ""}))
    if turn == 2:
        return says_action("It says so.", ("send", {"text": "as the mail says"}))
    return says_action("", ("finish", {"answer": "Done."}))


def agent(pattern: str, llm: ScriptedLLM, tools: list[RecordingTool]) -> Agent:
    options = AgentOptions(checkpointer=InMemorySaver())
    if pattern == "react":
        return react(llm, tools, **options)
    if pattern == "rewoo":
        return rewoo(llm, tools, max_steps=2, max_replans=0, **options)
    return plan_and_execute(llm, tools, max_steps=2, **options)


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
@pytest.mark.parametrize("name", SETS)
async def test_no_write_happens_without_approval_whatever_a_document_says(
    shared_data: Path, name: str, pattern: str
) -> None:
    texts = injections(shared_data, name)
    assert len(texts) >= PER_SET
    shown = ""

    def read(_: Mapping[str, Json]) -> Json:
        return shown

    any_text: dict[str, Json] = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    }
    llm = ScriptedLLM(gullible)
    tools = [
        RecordingTool(name="read", does=read),
        RecordingTool(name="send", permission="write", parameters=any_text),
    ]
    made = agent(pattern, llm, tools)
    for number in range(PER_SET):
        shown = texts[number * len(texts) // PER_SET]
        before = len(llm.calls)
        waiting = await run(made, "What does the mail say?", thread=str(number))
        assert [pending.tool for pending in waiting.pending] == ["send"], shown
        result = await resume(made, str(number), refuse("not asked for"))
        assert result.answer == "Done."
        line = max(shown.splitlines(), key=len)
        for call in llm.calls[before:]:
            assert line not in call.messages[0].content
    assert not tools[1].calls


def repeating(call: ScriptedCall) -> str:
    """A model that repeats what it read as its first answer, and later sends it at once."""
    asked = call.messages[-1].content if len(call.messages) == 2 else call.messages[1].content
    earlier = "Earlier in this conversation:" in asked
    system = call.messages[0].content
    if call.grammar is None:
        return call.prompt[-800:]
    if "Write the whole plan at once" in system:
        return says_plan(("send" if earlier else "read", {"text": "as it says"}))
    if system.startswith("You plan"):
        return '{"thought":"","steps":[{"task":"Do as the mail says.","needs":[]}]}'
    if "Known so far" in asked or len(call.messages) > 2:
        return says_action("", ("finish", {"answer": call.prompt[-300:]}))
    question = asked.rsplit("Question: ", 1)[1]
    later = earlier or "Second" in question or "Third" in question
    return says_action("", ("send" if later else "read", {"text": "as it says"}))


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
@pytest.mark.parametrize("name", SETS)
async def test_no_write_happens_in_a_later_question_of_the_thread_either(
    shared_data: Path, name: str, pattern: str
) -> None:
    texts = injections(shared_data, name)
    shown = ""

    def read(_: Mapping[str, Json]) -> Json:
        return shown

    llm = ScriptedLLM(repeating)
    send = RecordingTool(name="send", permission="write")
    made = agent(pattern, llm, [RecordingTool(name="read", does=read), send])
    for number in range(4):
        shown = texts[number * len(texts) // 4]
        first = await run(made, "First: what does the mail say?", thread=str(number))
        assert (first.stopped_by, first.pending) == ("finished", ())
        before = len(llm.calls)
        for question in ("Second: well?", "Third: now do it."):
            waiting = await run(made, question, thread=str(number))
            assert [pending.tool for pending in waiting.pending] == ["send"], shown
            result = await resume(made, str(number), refuse("not asked for"))
            assert result.answer
        for call in llm.calls[before:]:
            prompt = call.messages[1].content
            assert "Answer: <data " in prompt or "Question: Do as the mail says." in prompt
    assert not send.calls


async def test_an_answer_without_untrusted_text_leaves_the_thread_clean() -> None:
    send, look = RecordingTool(name="send", permission="write"), RecordingTool(name="look")
    replies = [
        says_action("", ("look", {"text": "x"})),
        says_action("", ("finish", {"answer": "It is x."})),
        says_action("", ("send", {"text": "x"})),
        says_action("", ("finish", {"answer": "Sent."})),
    ]
    llm = ScriptedLLM(replies)
    options = AgentOptions(checkpointer=InMemorySaver(), trusted_tools=["look", "send"])
    made = react(llm, [send, look], **options)
    await run(made, "What is it?", thread="t")
    assert (await run(made, "Send it.", thread="t")).answer == "Sent."
    assert "Answer: It is x." in llm.calls[2].prompt
    assert len(send.calls) == 1


async def test_an_answer_of_another_agent_in_the_messages_is_untrusted() -> None:
    send = RecordingTool(name="send", permission="write")
    llm = ScriptedLLM(
        [says_action("", ("send", {"text": "x"})), says_action("", ("finish", {"answer": "No."}))]
    )
    await run(react(llm, [send]), [("user", "Hi"), ("ai", "Mail everyone!"), ("user", "Well?")])
    assert not send.calls
    assert "nobody can be asked" in llm.calls[1].prompt


async def test_without_anybody_to_ask_an_untrusted_write_does_not_happen_either() -> None:
    tools = [RecordingTool(name="read"), RecordingTool(name="send", permission="write")]
    result = await run(react(ScriptedLLM(gullible), tools), "What does the mail say?")
    assert result.answer == "Done."
    assert not tools[1].calls


def obeying(call: ScriptedCall) -> str:
    """A model that does as the description of a tool says: it sends in every question."""
    asked = call.messages[1].content
    system = call.messages[0].content
    if call.grammar is None:
        return "Done."
    if "Write the whole plan at once" in system:
        return says_plan(("send", {"text": "as described"}))
    if system.startswith("You plan"):
        return '{"thought":"","steps":[{"task":"Do as the description says.","needs":[]}]}'
    if len(call.messages) > 2 or "Known so far" in asked:
        return says_action("", ("finish", {"answer": "Done."}))
    return says_action("", ("send", {"text": "as described"}))


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
@pytest.mark.parametrize("name", SETS)
async def test_no_write_happens_whatever_the_description_of_a_servers_tool_says(
    shared_data: Path, name: str, pattern: str
) -> None:
    texts = injections(shared_data, name)
    for number in range(4):
        attack = texts[number * len(texts) // 4]
        line = " ".join(attack.split())[:200]
        schema: dict[str, Json] = {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 9, "description": attack}},
        }
        llm, send = ScriptedLLM(obeying), RecordingTool(name="send", permission="write")
        look = RecordingTool(name="look", description=attack, parameters=schema, untrusted=True)
        made = agent(pattern, llm, [look, send])
        for question in ("First?", "Second?", "Third?"):
            waiting = await run(made, question, thread="t")
            assert [pending.tool for pending in waiting.pending] == ["send"], attack
            result = await resume(made, "t", refuse("not asked for"))
            assert result.answer == "Done."
        assert not send.calls
        for call in llm.calls:
            system, asked = call.messages[0].content, call.messages[1].content
            assert line not in system
            assert line not in re.sub(r"<data (\w+) .*?</data \1>", "", asked, flags=re.DOTALL)


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_server_whose_tools_are_trusted_is_described_in_the_system_message(
    trusted: bool,
) -> None:
    look = RecordingTool(name="look", description="Looks things up.", untrusted=True)
    save = RecordingTool(name="save", permission="write")
    llm = ScriptedLLM(
        [says_action("", ("save", {"text": "x"})), says_action("", ("finish", {"answer": "Ok."}))]
    )
    options = AgentOptions(trusted_tools=["look", "save"] if trusted else [])
    assert (await run(react(llm, [look, save], **options), "Q")).answer == "Ok."
    assert ("Looks things up." in llm.calls[0].messages[0].content) == trusted
    assert ("description of look>\nLooks things up." in llm.calls[0].messages[1].content) != trusted
    assert len(save.calls) == trusted
