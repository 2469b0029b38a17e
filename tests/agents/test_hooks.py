"""Hooks around calls, and the context of a run for tools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

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
    reflect,
    resume,
    rewoo,
    run,
    self_consistency,
    team,
    tool,
    tree_of_thought,
)
from ragkit.core.errors import ConfigError, ToolError
from ragkit.core.types import Json, Message, ToolResult, Usage
from ragkit.testing.agents import (
    RecordingTool,
    count_bytes,
    says_action,
    says_finish,
    says_plan,
)
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


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


async def test_hooks_see_a_prompt_that_asks_again_after_the_reply_that_was_cut() -> None:
    long = says_action("", *(("look", {"text": "y" * 900}) for _ in range(4)))
    schema: Any = {"type": "object", "properties": {"text": {"type": "string"}}}
    look, log = RecordingTool(name="look", parameters=schema), Log()
    llm = ScriptedLLM([long, says_finish("ok")])
    options: Any = {"reply_tokens": 2000, "count_tokens": count_bytes, "hooks": [Guard(), log]}
    result = await run(react(llm, [look], **options), "Q")
    assert (result.answer, look.calls) == ("ok", [])
    assert log.lines == ["1 asked", "1 said False", "2 asked", "2 said True"]
    assert "longer than 2,000 tokens" in llm.calls[1].prompt
    # The messages that ask again hold what the hook changed before.
    assert [call.messages[0].content.count("Be brief.") for call in llm.calls] == [1, 2]
    models = [step for step in result.steps if step.kind == "model"]
    assert [list(step.prompt) for step in models] == [list(call.messages) for call in llm.calls]


class Watch(Hook):
    """Keeps the prompts, and marks each."""

    def __init__(self) -> None:
        self.seen: list[list[Message]] = []

    async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
        first, *others = messages
        self.seen.append([replace(first, content=f"{first.content}\nSeen."), *others])
        return self.seen[-1]


def stumbling(*replies: str) -> ScriptedLLM:
    """A model without grammars whose first reply under a schema always breaks it."""
    good = iter(replies)

    def say(call: ScriptedCall) -> str:
        rejected = "This was rejected" in call.messages[-1].content
        return "{}" if call.grammar is not None and not rejected else next(good)

    return ScriptedLLM(say, guarantee="schema")


def watched(pattern: str, hooks: Any) -> tuple[Agent, ScriptedLLM]:
    """An agent of a pattern, and the model whose calls its hooks see."""
    call, options = ("look", {"text": "x"}), {"hooks": hooks}
    look, plain = RecordingTool(name="look"), react(ScriptedLLM([says_finish("7")]), [])
    acts = (says_action("", call), says_finish("ok"))
    match pattern:
        case "react":
            llm = stumbling(*acts)
            return react(llm, [look], **options), llm
        case "rewoo":
            llm = stumbling(says_plan(call), "ok")
            return rewoo(llm, [look], **options), llm
        case "plan":
            llm = stumbling('{"thought":"","steps":[{"task":"Look.","needs":[]}]}', *acts, "ok")
            return plan_and_execute(llm, [look], **options), llm
        case "team":
            llm = stumbling(says_action("", ("clerk", {"task": "Look."})), says_finish("ok"))
            return team(llm, {"clerk": Member(agent=plain, does="Looks.")}, **options), llm
        case "reflect":
            llm = stumbling('{"criteria":[{"reason":"r","met":true}],"advice":""}')
            return reflect(plain, "It is a number.", llm=llm, **options), llm
        case "self_consistency":
            llm = stumbling('{"reasoning":"r","answer":"7"}')
            return self_consistency(llm, samples=1, **options), llm
        case "tree_of_thought":
            llm = stumbling('{"thoughts":["a","b"]}', '{"ratings":[1,2]}', "ok")
            return tree_of_thought(llm, width=2, keep=1, depth=1, **options), llm
        case _:
            llm = stumbling(says_finish("It is 7."), '{"n":7}')
            schema: Any = {"type": "object", "properties": {"n": {"type": "integer"}}}
            schema |= {"required": ["n"], "additionalProperties": False}
            return react(llm, [], output=schema, **options), llm


@pytest.mark.parametrize(
    "pattern",
    [
        "react", "rewoo", "plan", "team", "reflect", "self_consistency", "tree_of_thought",
        "output",
    ],
)  # fmt: skip
async def test_hooks_see_every_prompt_of_every_pattern(pattern: str) -> None:
    watch = Watch()
    agent, llm = watched(pattern, [watch])
    result = await run(agent, "Q")
    assert result.stopped_by == "finished"
    sent = [list(call.messages) for call in llm.calls]
    assert any("This was rejected" in messages[-1].content for messages in sent)
    assert watch.seen == sent


async def test_an_error_of_a_hook_ends_a_run_that_asks_again() -> None:
    class Strict(Hook):
        async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
            if "{}" in messages[-2].content:
                raise PermissionError("Not this prompt.")
            return messages

    agent, llm = watched("react", [Strict()])
    with pytest.raises(PermissionError, match="Not this prompt"):
        await run(agent, "Q")
    assert len(llm.calls) == 1


def test_agents_keep_the_option_that_hooks_need_for_themselves() -> None:
    decoding: Any = {"on_restart": print}
    with pytest.raises(ConfigError, match="no option 'on_restart'"):
        react(ScriptedLLM([]), [], decoding=decoding)


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


class Forgetful(Hook):
    """A hook whose methods end without their `return`."""

    def __init__(self, method: str) -> None:
        self.method = method

    async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
        return cast("Any", None) if self.method == "before_model" else messages

    async def after_tool(self, step: str, tool: str, result: ToolResult) -> ToolResult:
        return cast("Any", None) if self.method == "after_tool" else result


@pytest.mark.parametrize("pattern", ["react", "team"])
@pytest.mark.parametrize("method", ["before_model", "after_tool"])
async def test_a_hook_that_returns_nothing_is_an_error_that_names_it(
    pattern: str, method: str
) -> None:
    agent, _ = watched(pattern, [Forgetful(method)])
    said = rf"The hook Forgetful.{method} returned None. Fix: return the (messages|result)"
    with pytest.raises(ConfigError, match=said):
        await run(agent, "Q")


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
