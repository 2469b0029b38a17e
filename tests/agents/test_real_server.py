"""Agents that wrap or join others, on a real vLLM server.

Its model has random weights: whatever it says, a run ends within its budget with a well-formed
result.
"""

import json
from collections.abc import AsyncIterator, Callable

import pytest

from ragkit.agents import (
    AgentResult,
    Budget,
    plan_and_execute,
    react,
    reflect,
    rewoo,
    run,
    self_consistency,
    team,
    tool,
    tree_of_thought,
)
from ragkit.agents.agent import Agent
from ragkit.agents.team import Member
from ragkit.agents.tools import calculator
from ragkit.core.protocols import LLM
from ragkit.llm import VLLM
from ragkit.testing.vllm_server import VLLMServer

pytestmark = pytest.mark.slow

BUDGET = Budget(steps=8, tokens=16_000, seconds=200)


@tool
def stock(item: str) -> int:
    """Return the number of an item in stock."""
    return len(item)


@pytest.fixture
async def llm(vllm_server: VLLMServer) -> AsyncIterator[VLLM]:
    async with VLLM(vllm_server.url) as client:
        yield client


def _well_formed(result: AgentResult) -> None:
    used = result.usage.prompt + result.usage.completion
    assert used <= (BUDGET.tokens or 0)
    assert sum(step.kind == "model" for step in result.steps) <= (BUDGET.steps or 0)
    assert json.loads(result.to_json())["stopped_by"] == result.stopped_by
    assert result.answer


def _reflecting(llm: LLM) -> Agent:
    inner = react(llm, [stock, calculator()], budget=BUDGET)
    return reflect(inner, ["It names a number."], llm=llm, revisions=1, budget=BUDGET)


def _team(llm: LLM) -> Agent:
    members = {
        "counter": Member(agent=rewoo(llm, [stock], budget=BUDGET), does="counts the stock"),
        "planner": Member(agent=plan_and_execute(llm, [stock], budget=BUDGET), does="plans orders"),
    }
    return team(llm, members, budget=BUDGET)


MADE: dict[str, Callable[[LLM], Agent]] = {
    "reflect": _reflecting,
    "team": _team,
    "self_consistency": lambda llm: self_consistency(llm, samples=3, budget=BUDGET),
    "tree_of_thought": lambda llm: tree_of_thought(llm, width=2, keep=1, depth=2, budget=BUDGET),
}


@pytest.mark.parametrize("name", MADE)
async def test_it_ends_well(name: str, llm: VLLM) -> None:
    _well_formed(await run(MADE[name](llm), "Can we ship 40 pumps?"))
