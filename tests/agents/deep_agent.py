"""Agents as members of deepagents' deep agent, in an environment that has it: prints what they say.

Run: .venv-langgraph/bin/python tests/agents/deep_agent.py
"""

import asyncio
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from ragkit.agents import Agent, plan_and_execute, react, rewoo, tool
from ragkit.testing import RecordingTool, ScriptedCall, ScriptedLLM, says_action, says_plan
from ragkit.testing.agents import says_finish

ASKED = {"messages": [{"role": "user", "content": "Is there a lamp?"}]}
ANSWER = {"answer": "Three."}
SENT = "It is on its way."
TASK = "Find out what number {} is."


@tool
def stock(item: str) -> int:
    """Return the number of an item in stock."""
    return len(item)


class Main(FakeMessagesListChatModel):
    """The deep agent's own model: it hands tasks over and then answers."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """Return itself."""
        return self


def deep_agent(member: Agent, *, tasks: int = 1, **options: Any) -> Any:
    """Return a deep agent that gives its member tasks at the same time; `Any`: see below."""
    calls: Any = [
        {"type": "tool_call", "id": f"call {number}", "name": "task",
         "args": {"description": TASK.format(number), "subagent_type": "researcher"}}
        for number in range(tasks)
    ]  # fmt: skip
    replies: Any = [AIMessage(content="", tool_calls=calls), AIMessage(content="It says 7.")]
    # `Any`: the package is not installed where types are checked.
    deepagents: Any = importlib.import_module("deepagents")
    researcher = {"name": "researcher", "description": "Finds things out.", "runnable": member}
    return deepagents.create_deep_agent(
        model=Main(responses=replies), subagents=[researcher], **options
    )


def worker(pattern: str) -> Agent:
    """Return a member that looks and answers."""
    tool = RecordingTool(name="look")
    match pattern:
        case "react":
            llm = ScriptedLLM([says_action("", ("look", {"text": "x"})), says_finish("It is 7.")])
            return react(llm, [tool], name="researcher")
        case "rewoo":
            llm = ScriptedLLM([says_plan(("look", {"text": "x"})), "It is 7."])
            return rewoo(llm, [tool], name="researcher")
        case _:
            tasks = '{"thought":"","steps":[{"task":"Look.","needs":[]}]}'
            llm = ScriptedLLM([tasks, says_finish("7"), "It is 7."])
            return plan_and_execute(llm, [tool], name="researcher")


def said(output: Any) -> list[list[str]]:
    """Return the type and the text of each message with a text."""
    return [[one.type, one.text] for one in output["messages"] if one.text]


async def answers(pattern: str) -> list[list[str]]:
    """Return what is said where a member of a pattern gets one task."""
    return said(await deep_agent(worker(pattern)).ainvoke(ASKED))


async def typed() -> list[list[str]]:
    """Return what is said where the member's result is typed."""
    schema: Any = {
        "type": "object", "properties": {"number": {"type": "integer"}},
        "required": ["number"], "additionalProperties": False,
    }  # fmt: skip
    llm = ScriptedLLM([says_finish("It is 7."), '{"number":7}'])
    return said(await deep_agent(react(llm, [], output=schema)).ainvoke(ASKED))


async def approved() -> dict[str, Any]:
    """Return what two tasks at the same time ask a person, and what is said after one is refused.

    The member sends the number of its task, which it reads from the prompt alone.
    """

    def replies(call: ScriptedCall) -> str:
        number = "1" if TASK.format(1) in call.prompt else "0"
        if "Not this one." in call.prompt:
            return says_finish(f"{number} was not sent.")
        sent = call.prompt.count(SENT)
        return (
            says_finish(f"{number} was sent.")
            if sent
            else says_action("", ("send", {"text": number}))
        )

    async def sends(_: Any) -> str:
        return SENT

    send = RecordingTool(name="send", permission="approve", does=sends)
    member = react(ScriptedLLM(replies), [send], name="researcher")
    agent = deep_agent(member, tasks=2, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    waits = (await agent.ainvoke(ASKED, config))["__interrupt__"]
    before = len(send.calls)
    asked = {one.value["action_requests"][0]["args"]["text"]: one.id for one in waits}
    decisions = {
        asked["0"]: {"decisions": [{"type": "reject", "message": "Not this one."}]},
        asked["1"]: {"decisions": [{"type": "approve"}]},
    }
    output = await agent.ainvoke(Command(resume=decisions), config)
    sent = [arguments["text"] for arguments, _ in send.calls]
    return {"asked": sorted(asked), "made before": before, "sent": sent, "said": said(output)}


def synchronous() -> list[list[str]]:
    """Return what is said where the deep agent is invoked without an event loop."""
    return said(deep_agent(worker("react")).invoke(ASKED))


def page() -> list[list[list[str]]]:
    """Return what the supervisor and the deep agent of docs/agents.md say, one after the other."""

    def replies(call: ScriptedCall) -> str:
        offered, done = call.grammar.ebnf if call.grammar else "", "Three." in call.prompt
        if "transfer_to_desk" in offered and not done:
            return says_action("", ("transfer_to_desk", {}))
        if "subagent_type" in offered and not done:
            task = {"description": "Are there lamps?", "subagent_type": "desk"}
            return says_action("", ("task", task))
        return says_action("", ("finish" if "finish" in offered else "final_answer", ANSWER))

    text = (Path(__file__).parents[2] / "docs/agents.md").read_text()
    names: dict[str, Any] = {"llm": ScriptedLLM(replies), "react": react, "stock": stock}
    examples = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    for example in examples:
        exec(compile(example, "docs/agents.md", "exec"), names)  # noqa: S102  # our own page
    question = {"messages": [{"role": "user", "content": "Are there lamps?"}]}
    return [said(names[name].invoke(question)) for name in ("office", "deep")]


async def main() -> dict[str, Any]:
    """Return the results of all scenes."""
    patterns = {pattern: await answers(pattern) for pattern in ("react", "rewoo", "plan")}
    return {
        **patterns,
        "typed": await typed(),
        "approved": await approved(),
    }


if __name__ == "__main__":
    found = {**asyncio.run(main()), "synchronous": synchronous(), "page": page()}
    sys.stdout.write(json.dumps(found))
