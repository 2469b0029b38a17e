"""Costs where a model server, a client or another writer does not do what it should."""

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from ragkit.core.settings import CostSettings, LLMSettings, PriceSettings
from ragkit.core.types import Json, Usage
from ragkit.llm.build import build_llm
from ragkit.server.app import ServerOptions
from ragkit.server.costs import COSTS_NAME, CostLedger
from ragkit.server.keys import KeyFile, KeyLimits
from ragkit.testing import ScriptedLLM
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    served_models,
)
from ragkit.testing.server import filled_rag, running_server
from tests.server.test_costs import CHAT, asked, key, priced_rag, sums

pytestmark = pytest.mark.enable_socket
TOKEN = PriceSettings(prompt=1_000_000, completion=1_000_000)  # each costs 1
USED = {"prompt_tokens": 10, "completion_tokens": 50}


class ModelServer:
    """It serves the model "m", and replies as it is told to."""

    def __init__(
        self,
        *,
        usage: Mapping[str, Json] | None = None,
        name: str = "m",
        statuses: list[int] | None = None,
        text: str = "hi",
    ) -> None:
        self._usage = usage
        self._name = name
        self._statuses = statuses or []
        self._text = text

    def __call__(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", context=4096)
        if self._statuses and (status := self._statuses.pop(0)) != 200:
            return ServerResponse(status=status, body={"error": "no"})
        choice: Json = {"index": 0, "delta": {"content": self._text}, "finish_reason": "stop"}
        used: Json = None if self._usage is None else dict(self._usage)
        first: Json = {"model": self._name, "choices": [choice]}
        return ServerResponse(events=[first, {"model": self._name, "choices": [], "usage": used}])


async def spent(
    folder: Path,
    model_server: ModelServer,
    *,
    model: str = "vllm:{url}#m",
    prices: Mapping[str, PriceSettings] | None = None,
    budget: float | None = None,
    clients: int = 1,
    fields: Mapping[str, object] | None = None,
) -> tuple[list[int], dict[str, float]]:
    """The statuses of requests made at once, and the costs by model."""
    settings = CostSettings(
        prices=prices or {"m": TOKEN},
        tenant_per_day={} if budget is None else {"default": budget},
    )
    body = asked(max_tokens=100, **(fields or {}))
    async with EmulatedModelServer(model_server) as emulated:
        llm = build_llm(LLMSettings(model=model.format(url=emulated.url)))
        async with running_server(folder, rag=await priced_rag(llm, settings)) as server:
            posts = (server.http.post(CHAT, json=body, timeout=60) for _ in range(clients))
            statuses = [one.status_code for one in await asyncio.gather(*posts)]
        await llm.close()
    return statuses, {one.name: one.cost for one in sums(folder)}


async def test_a_server_that_is_down_uses_up_no_budget(tmp_path: Path) -> None:
    llm = build_llm(LLMSettings(model="vllm:http://127.0.0.1:9#m", timeout_s=3))
    rag = await priced_rag(llm, CostSettings(prices={"m": TOKEN}, tenant_per_day={"default": 150}))
    async with running_server(tmp_path, rag=rag) as server:
        body = asked(max_tokens=100)
        statuses = [(await server.http.post(CHAT, json=body)).status_code for _ in range(4)]
    assert statuses == [503, 503, 503, 503]
    assert sums(tmp_path) == []


async def test_a_request_that_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    statuses, costs = await spent(tmp_path, ModelServer(), fields={"seed": -1})
    assert (statuses, costs) == ([400], {})


async def test_a_call_that_is_refused_costs_nothing_and_its_retry_does(tmp_path: Path) -> None:
    statuses, costs = await spent(tmp_path, ModelServer(usage=USED, statuses=[503, 200]))
    assert (statuses, costs) == ([200], {"m": 60})


async def test_a_call_that_a_server_fails_at_costs_what_was_set_aside(tmp_path: Path) -> None:
    statuses, costs = await spent(tmp_path, ModelServer(statuses=[500] * 9))
    assert statuses == [502]
    assert costs["unknown"] > 100


async def test_a_budget_holds_before_a_server_has_named_its_model(tmp_path: Path) -> None:
    statuses, costs = await spent(
        tmp_path, ModelServer(usage=USED), model="vllm:{url}", budget=120, clients=5
    )
    assert sorted(statuses) == [200, 429, 429, 429, 429]
    assert costs == {"m": 60}


async def test_a_model_that_replies_by_a_longer_name_has_the_price_of_the_one_asked(
    tmp_path: Path,
) -> None:
    server = ModelServer(usage=USED, name="m-2026-01-01")
    assert await spent(tmp_path, server, model="openai:{url}#m") == ([200], {"m-2026-01-01": 60})


async def test_a_server_that_reports_no_usage_costs_what_was_set_aside(tmp_path: Path) -> None:
    statuses, costs = await spent(tmp_path, ModelServer(), model="openai:{url}#m")
    assert statuses == [200]
    assert set(costs) == {"unknown"}
    assert costs["unknown"] > 100


async def test_a_server_that_reports_no_usage_costs_the_estimate_where_that_is_more(
    tmp_path: Path,
) -> None:
    server = ModelServer(text="word " * 600)
    statuses, costs = await spent(tmp_path, server, model="openai:{url}#m")
    assert (statuses, set(costs)) == ([200], {"unknown"})
    (found,) = sums(tmp_path)
    assert found.completion == 1000
    assert found.cost == found.prompt + found.completion


async def test_a_key_s_tokens_a_minute_hold_where_a_server_reports_no_usage(
    tmp_path: Path,
) -> None:
    keys = KeyFile(tmp_path / "keys.db")
    secret = keys.add("k", tenant="default", limits=KeyLimits(tokens_per_minute=4000))
    headers = {"Authorization": f"Bearer {secret}"}
    options = ServerOptions(folder=tmp_path, keys=keys)
    async with EmulatedModelServer(ModelServer(text="word " * 6000)) as emulated:
        llm = build_llm(LLMSettings(model=f"openai:{emulated.url}#m"))
        rag = await filled_rag(llm)
        async with running_server(tmp_path, rag=rag, options=options) as server:
            posts = [
                await server.http.post(CHAT, json=asked(max_tokens=1), headers=headers)
                for _ in range(2)
            ]
        await llm.close()
    assert [one.status_code for one in posts] == [200, 429]
    assert posts[0].json()["usage"]["completion_tokens"] == 10_000


@pytest.mark.parametrize(
    ("reported", "cost"),
    [
        ({"prompt_tokens": 10, "completion_tokens": -50}, 10.0),
        ({"prompt_tokens": -10, "completion_tokens": 5}, 5.0),
        ({**USED, "prompt_tokens_details": {"cached_tokens": 1000}}, 51.0),
        ({**USED, "prompt_tokens_details": {"cached_tokens": -7}}, 60.0),
    ],
)
async def test_a_server_that_reports_what_cannot_be_earns_nobody_anything(
    tmp_path: Path, reported: dict[str, Json], cost: float
) -> None:
    prices = {"m": PriceSettings(prompt=1e6, cached=1e5, completion=1e6)}
    server = ModelServer(usage=reported)
    assert await spent(tmp_path, server, prices=prices) == ([200], {"m": cost})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_that_is_no_text_is_kept(tmp_path: Path, stream: bool) -> None:
    rag = await priced_rag(ScriptedLLM(lambda _: "hello"), CostSettings(prices={"*": TOKEN}))
    body = b'{"model": "llm", "messages": [{"role": "user", "content": "x"}], "stream": %s, ' % (
        b"true" if stream else b"false"
    )
    body += b'"metadata": {"conversation": "a\\ud800"}}'
    header = {"content-type": "application/json"}
    async with running_server(tmp_path, rag=rag) as server:
        response = await server.http.post(CHAT, content=body, headers=header)
    assert response.status_code == 200
    assert [one.name for one in sums(tmp_path, "conversation")] == ["a?"]


def test_several_models_are_reserved_at_the_price_of_the_dearest(tmp_path: Path) -> None:
    prices = {"small": PriceSettings(prompt=1), "large": PriceSettings(prompt=9)}
    ledger = CostLedger(tmp_path / "costs", CostSettings(prices=prices))
    million = Usage(prompt=1_000_000)
    costs = [ledger.cost_of(name, million) for name in ("small|large", "small>large", "small")]
    assert costs == [9, 9, 1]
    ledger.close()


def test_a_request_over_midnight_is_charged_to_the_day_it_was_reserved_on(tmp_path: Path) -> None:
    times = [86_390.0, 86_410.0]
    settings = CostSettings(prices={"m": TOKEN}, tenant_per_day={"t": 10})
    ledger = CostLedger(tmp_path / "costs", settings, now=lambda: times[0])
    charge = ledger.reserve(key(), model="m", usage=Usage(prompt=8))
    del times[0]
    charge.account.add("m", Usage(prompt=8))
    ledger.settle(charge)
    assert [(one.name, one.cost) for one in ledger.sums("day")] == [("1970-01-01", 8)]
    ledger.close()


async def test_another_writer_holds_up_neither_the_server_nor_a_finished_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ragkit.core.database._BUSY_S", 2.0)
    rag = await priced_rag(ScriptedLLM(lambda _: "hello"), CostSettings(prices={"*": TOKEN}))
    async with running_server(tmp_path, rag=rag) as server:
        assert (await server.http.post(CHAT, json=asked())).status_code == 200
        other = sqlite3.connect(tmp_path / COSTS_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(server.http.post(CHAT, json=asked(), timeout=60))
        while not waiting.done():  # answered meanwhile, for as long as it waits
            assert (await server.http.get("/healthz")).status_code == 200
            await asyncio.sleep(0.01)
        assert (await waiting).json()["choices"][0]["message"]["content"] == "hello"
        other.close()
    assert "was not written" in caplog.text


async def test_what_is_set_aside_for_a_client_that_has_left_is_given_back(tmp_path: Path) -> None:
    settings = CostSettings(prices={"m": TOKEN}, tenant_per_day={"t": 100})
    ledger = CostLedger(tmp_path / "costs", settings)
    assert ledger.sums("model") == []  # which makes the file
    other = sqlite3.connect(tmp_path / "costs", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    usage, costs = Usage(prompt=80), dict[str, float]()
    waiting = asyncio.create_task(ledger.reserve_async(key(), model="m", usage=usage))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    other.close()
    charge = await ledger.reserve_async(key(), model="m", usage=Usage(prompt=20))
    await ledger.settle_async(charge, costs.__setitem__)
    while ledger.sums("model"):  # the thread gives it back
        await asyncio.sleep(0.01)
    ledger.close()
