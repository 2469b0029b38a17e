"""Hooks around calls, and the context of a run for tools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime

from ragkit.agents import (
    Agent,
    Hook,
    Member,
    approve,
    plan_and_execute,
    react,
    resume,
    rewoo,
    run,
    team,
    tool,
)
from ragkit.core.errors import ConfigError, ToolError
from ragkit.core.types import Json, Message, ToolResult, Usage
from ragkit.testing.agents import RecordingTool, says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedLLM


class Log(Hook):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
        self.lines.append(f"{step} asked")
        return messages

    async def after_model(self, step: str, reply: str, usage: Usage) -> None:
        self.lines.append(f"{step} said {len(reply.encode()) + 1 == usage.completion}")

    async def before_tool(self, step: str, tool: str, arguments: Mapping[str, Json]) -> None:
        self.lines.append(f"{step} {tool} {dict(arguments)}")

    async def after_tool(self, step: str, tool: str, result: ToolResult) -> ToolResult:
        self.lines.append(f"{step} {result.text}")
        return result


class Guard(Hook):
    """Adds a rule, refuses a tool, and hides a word."""

    async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
        first, *others = messages
        return [replace(first, content=f"{first.content}\nBe brief."), *others]

    async def before_tool(self, step: str, tool: str, arguments: Mapping[str, Json]) -> None:
        if tool == "send":
            raise ToolError("Nothing is sent today.")

    async def after_tool(self, step: str, tool: str, result: ToolResult) -> ToolResult:
        return replace(result, text=result.text.replace("secret", "***"))


@pytest.mark.parametrize("make", [react, rewoo])
async def test_hooks_see_every_call_of_model_and_tools_in_their_order(make: Any) -> None:
    log, look = Log(), RecordingTool(name="look")
    call = ("look", {"text": "x"})
    replies = [says_plan(call), "ok"] if make is rewoo else [says_action("", call), "ok"]
    llm = ScriptedLLM(replies if make is rewoo else [replies[0], says_finish("ok")])
    assert (await run(make(llm, [look], hooks=[log]), "Q")).answer == "ok"
    assert log.lines == [
        "1 asked", "1 said True", "1.1 look {'text': 'x'}", "1.1 look:x", "2 asked", "2 said True",
    ]  # fmt: skip


async def test_a_hook_may_change_a_prompt_refuse_a_call_and_change_a_result() -> None:
    send = RecordingTool(name="send", permission="write")
    look = RecordingTool(name="look", does=lambda _: "the secret is out")
    llm = ScriptedLLM(
        [says_action("", ("send", {"text": "x"}), ("look", {"text": "x"})), says_finish("ok")]
    )
    result = await run(react(llm, [send, look], hooks=[Guard()]), "Q")
    assert not send.calls
    assert [step.result for step in result.steps if step.kind == "tool"] == [
        "Nothing is sent today.", "the *** is out",
    ]  # fmt: skip
    assert all("Be brief." in call.messages[0].content for call in llm.calls)
    assert "secret" not in llm.calls[1].prompt


@dataclass(frozen=True)
class Session:
    """Who asks."""

    user: str


@tool(permission="approve")
def order(item: str, *, runtime: Runtime[Session]) -> str:
    """Order an item."""
    return f"{item} for {runtime.context.user}"


def ordering(pattern: str) -> Agent:
    call = ("order", {"item": "lamp"})
    options: Any = {"context_schema": Session, "checkpointer": InMemorySaver()}
    acts = [says_action("", call), says_finish("Done.")]
    match pattern:
        case "react":
            return react(ScriptedLLM(acts), [order], **options)
        case "rewoo":
            return rewoo(ScriptedLLM([says_plan(call), "Done."]), [order], **options)
        case "plan":
            plan = '{"thought":"","steps":[{"task":"Order.","needs":[]}]}'
            planner = ScriptedLLM([plan, "Done."])
            return plan_and_execute(planner, [order], executor=ScriptedLLM(acts), **options)
        case _:
            member = Member(agent=react(ScriptedLLM(acts), [order]), does="Orders.")
            lead = [says_action("", ("clerk", {"task": "Order."})), says_finish("Done.")]
            return team(ScriptedLLM(lead), {"clerk": member}, **options)


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan", "team"])
async def test_tools_receive_the_context_of_the_run_and_the_model_does_not(pattern: str) -> None:
    agent = ordering(pattern)
    assert "runtime" not in str(order.parameters)
    waiting = await run(agent, "Q", thread="t", context=Session(user="Ann"))
    assert [pending.tool for pending in waiting.pending] == ["order"]
    result = await resume(agent, "t", approve(), context={"user": "Ben"})
    assert result.answer == "Done."
    made = [step.result for step in result.steps if step.name == "order"]
    assert made == ["lamp for Ben"]
    assert "Ann" not in result.to_json()


def test_only_hooks_are_taken() -> None:
    hooks: Any = [Log]
    with pytest.raises(ConfigError, match="is no hook"):
        react(ScriptedLLM([]), [], hooks=hooks)


async def test_a_tool_that_needs_a_run_says_so() -> None:
    with pytest.raises(ToolError, match="call it in the run of an agent"):
        await order.call({"item": "lamp"}, key="k")
