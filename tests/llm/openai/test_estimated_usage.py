"""Budgets, rate limits and prices where a server reports no tokens."""

import json
import logging

import pytest

from ragkit.agents import Budget, react, run, tool
from ragkit.core.errors import CallRefused
from ragkit.core.operation import Fact, Observer, Operation, add_observer, remove_observer
from ragkit.core.types import Json
from ragkit.llm import Cache, Metered, OpenAI, Price, RateLimit, Rates
from ragkit.llm.fitting import MOST_CALLS
from ragkit.telemetry.names import FACTS
from ragkit.testing.model_server import EmulatedModelServer, ServerRequest, ServerResponse
from tests.llm.openai.raw_stream import FINISH

WORDS: Json = {"model": "m", "choices": [{"index": 0, "delta": {"content": "word " * 2000}}]}
TOOL: dict[str, Json] = {
    "type": "function",
    "function": {"name": "stock", "description": "d" * 900, "parameters": {}},
}


def wordy(request: ServerRequest) -> ServerResponse:
    return ServerResponse(events=[WORDS, FINISH])


async def test_prices_are_those_of_the_estimate_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EmulatedModelServer(wordy) as server, OpenAI(server.url, "m") as llm:
        metered = Metered(llm, Price(prompt=1e6, completion=1e6))
        with caplog.at_level(logging.WARNING):
            plain = await metered.complete("x " * 3000)
            told = await metered.complete("x " * 3000, tools=[TOOL])
    assert plain.usage.estimated
    assert 2000 < plain.usage.prompt < 2020
    assert 3333 < plain.usage.completion < 3340
    assert told.usage.prompt > plain.usage.prompt + 300  # the tools are a part of the prompt
    account = metered.accounts["m"]
    assert account.usage.estimated
    assert metered.cost == pytest.approx(account.usage.prompt + account.usage.completion)
    (line,) = [one.getMessage() for one in caplog.records if "estimated" in one.getMessage()]
    assert line.startswith(f"{server.url} reported no tokens")


async def test_observers_and_the_cache_see_that_it_is_an_estimate() -> None:
    class Calls(Observer):
        def ended(self, operation: Operation) -> None:
            seen.append(operation.facts)

    seen, observer = list[dict[str, Fact]](), Calls()
    async with EmulatedModelServer(wordy) as server, OpenAI(server.url, "m") as llm:
        cached = Cache(llm)
        add_observer(observer)
        try:
            replies = [await cached.complete("x", temperature=0) for _ in range(2)]
        finally:
            remove_observer(observer)
    assert [reply.usage.estimated for reply in replies] == [True, True]
    assert seen[0]["usage_estimated"] is True
    assert set().union(*seen) <= FACTS.keys()  # the names that traces have


async def test_a_rate_of_tokens_holds() -> None:
    async with EmulatedModelServer(wordy) as server, OpenAI(server.url, "m") as llm:
        limited = RateLimit(llm, Rates(tokens=10_000), key="a", wait_s=0)
        await limited.complete("x " * 5000, max_tokens=2000)
        with pytest.raises(CallRefused, match="The rate limit of 'a'"):
            await limited.complete("x " * 5000, max_tokens=2000)


async def test_an_agent_stays_within_its_budget() -> None:
    @tool
    def look(place: int) -> str:
        """Look."""
        return f"{place} " + "pad " * 200

    def respond(request: ServerRequest) -> ServerResponse:
        calls: Json = [{"tool": "look", "arguments": {"place": len(server.requests)}}]
        said = json.dumps({"thought": "t" * 2000, "calls": calls})
        event: Json = {"model": "m", "choices": [{"index": 0, "delta": {"content": said}}]}
        return ServerResponse(events=[event, FINISH])

    async with EmulatedModelServer(respond) as server, OpenAI(server.url, "m") as llm:
        agent = react(llm, [look], budget=Budget(steps=12, tokens=20_000))
        result = await run(agent, "Look everywhere.")
    asked = [json.dumps(request.body["messages"]) for request in server.requests]
    assert (result.stopped_by, result.usage.estimated) == ("tokens", True)
    assert sum(map(len, asked)) // 4 < result.usage.prompt + result.usage.completion <= 20_000
    estimated = [step.usage.estimated for step in result.steps if step.usage]
    assert len(estimated) == len(asked) <= 12 * MOST_CALLS
    assert all(estimated)
