from collections.abc import Awaitable
from dataclasses import dataclass

import pytest

from ragkit import ConfigError, InputError, ToolError
from ragkit.agents import react, run
from ragkit.core.types import Usage
from ragkit.evaluation.agents import AgentTask, MeasuredRun, evaluate_agent
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.testing.agents import RecordingTool, says_action
from ragkit.testing.llm import ScriptedLLM

USAGE = Usage(prompt=10, completion=5)


@dataclass(frozen=True, kw_only=True)
class _AgentRun:
    answer: str
    usage: Usage = USAGE
    steps: tuple[str, ...] = ("1", "2")
    stopped_by: str = "finished"


TASKS = (
    AgentTask(id="a", question="Largest city?", gold=("Tokyo",)),
    AgentTask(id="b", question="Longest river?", gold=("Nile", "the Nile")),
    AgentTask(id="c", question="Quick?", solved=lambda run: len(run.steps) < 3),
)


async def _run(question: str) -> MeasuredRun:
    if question == "Longest river?":
        return _AgentRun(answer="The Amazon.", steps=("1", "2", "3", "4"), stopped_by="steps")
    return _AgentRun(answer="It is Tokyo!")


async def test_success_tokens_and_steps_are_measured() -> None:
    result = await evaluate_agent(TASKS, _run)
    assert result.per_query["success"] == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert result.per_query["tokens"] == {"a": 15.0, "b": 15.0, "c": 15.0}
    assert result.measures["steps"].value == pytest.approx(8 / 3)
    assert set(result.per_query["f1"]) == {"a", "b"}
    failures = result.failures["not solved"]
    assert (failures.count, failures.examples[0].detail) == (1, "steps: 'The Amazon.'")


async def test_a_run_that_breaks_has_failed_and_is_listed() -> None:
    async def breaks(question: str) -> MeasuredRun:
        raise ToolError("no such tool")

    result = await evaluate_agent(TASKS[:1], breaks)
    assert result.failed == {"a": "no such tool"}
    assert result.per_query == {"success": {"a": 0.0}}


async def test_finished_tasks_are_not_run_again() -> None:
    store: dict[str, str] = {}
    first = await evaluate_agent(TASKS, _run, checkpoint=Checkpoint(store, identity="x"))

    async def never(question: str) -> MeasuredRun:
        raise AssertionError(question)

    again = await evaluate_agent(TASKS, never, checkpoint=Checkpoint(store, identity="x"))
    assert again == first


async def test_a_real_agent_is_measured() -> None:
    def agent_run(question: str) -> Awaitable[MeasuredRun]:
        llm = ScriptedLLM(
            [
                says_action("look", ("look", {"text": "city"})),
                says_action("done", ("finish", {"answer": "Tokyo"})),
            ]
        )
        return run(react(llm, [RecordingTool(name="look")]), question)

    result = await evaluate_agent(TASKS[:1], agent_run)
    assert result.per_query["success"] == {"a": 1.0}
    assert result.per_query["tokens"]["a"] > 0


async def test_tasks_must_say_when_they_are_solved() -> None:
    with pytest.raises(ConfigError, match="Task 'x' has neither gold nor solved"):
        await evaluate_agent([AgentTask(id="x", question="?")], _run)
    with pytest.raises(ConfigError, match="Two tasks have the id 'a'"):
        await evaluate_agent([TASKS[0], TASKS[0]], _run)
    with pytest.raises(InputError, match="list of tasks is empty"):
        await evaluate_agent([], _run)
