"""Agents as parts of what other packages of the ecosystem build."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from ragkit.agents import Agent, plan_and_execute, react, rewoo
from ragkit.testing import RecordingTool, ScriptedLLM, says_action, says_plan
from ragkit.testing.agents import says_finish

supervisor: Any = pytest.importorskip("langgraph_supervisor")
# The package itself uses an old name of LangGraph's.
pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")


def worker(pattern: str) -> Agent:
    """A member named `researcher` that looks and answers."""
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


class Supervisor:
    """A chat model that hands over once and then repeats the last answer."""

    @staticmethod
    def model() -> Any:
        """Return it; `Any`: LangChain's own double is generic in untyped ways."""
        from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel

        class Scripted(FakeMessagesListChatModel):
            def bind_tools(self, tools: Any, **_: Any) -> Any:
                return self

        handover: Any = {
            "name": "transfer_to_researcher",
            "args": {},
            "id": "1",
            "type": "tool_call",
        }
        return Scripted(
            responses=[
                AIMessage(content="", tool_calls=[handover]),
                AIMessage(content="The researcher says 7."),
            ]
        )


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
async def test_an_agent_is_a_member_of_langgraphs_supervisor(pattern: str) -> None:
    graph = supervisor.create_supervisor([worker(pattern)], model=Supervisor.model()).compile()
    output = await graph.ainvoke({"messages": [("user", "What is it?")]})
    said = [(message.name, message.content) for message in output["messages"] if message.content]
    assert ("researcher", "It is 7.") in said
    assert output["messages"][-1].content == "The researcher says 7."


async def test_a_member_reads_the_question_although_the_supervisor_wrote_last() -> None:
    llm = ScriptedLLM([says_finish("It is 7.")])
    member = react(llm, [], name="researcher")
    graph = supervisor.create_supervisor([member], model=Supervisor.model()).compile()
    await graph.ainvoke({"messages": [("user", "What is it?")]})
    assert "Question: What is it?" in llm.calls[0].prompt
