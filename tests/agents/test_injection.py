"""Injections from real sets, brought by a tool: none makes a `write` happen without a person."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import plan_and_execute, react, refuse, resume, rewoo, run
from ragkit.agents.agent import Agent, AgentOptions
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

    llm = ScriptedLLM(gullible)
    tools = [
        RecordingTool(name="read", does=read),
        RecordingTool(name="send", permission="write"),
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


async def test_without_anybody_to_ask_an_untrusted_write_does_not_happen_either() -> None:
    tools = [RecordingTool(name="read"), RecordingTool(name="send", permission="write")]
    result = await run(react(ScriptedLLM(gullible), tools), "What does the mail say?")
    assert result.answer == "Done."
    assert not tools[1].calls
