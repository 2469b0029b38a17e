import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ragkit import AsyncRAG, Settings
from ragkit.agents.tools import calculator
from ragkit.core.operation import request_id
from ragkit.core.protocols import LLM
from ragkit.core.settings import CostSettings, EmbedderSettings, PriceSettings
from ragkit.core.types import Delta, Json, Usage
from ragkit.llm.call import Call
from ragkit.server.app import ServerOptions
from ragkit.server.costs import COSTS_NAME, CostLedger, CostSum, price_of
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey, KeyFile, KeyLimits
from ragkit.testing import HashEmbedder, ScriptedLLM, says_action
from ragkit.testing.agents import says_finish
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    served_models,
)
from ragkit.testing.server import RunningServer, running_server

CHAT = "/v1/chat/completions"
MILLION = Usage(prompt=1_000_000)
PRICES = {"scripted": PriceSettings(prompt=1_000_000, completion=2_000_000)}  # 1 and 2 a token


def asked(**others: object) -> dict[str, object]:
    return {"model": "llm", "messages": [{"role": "user", "content": "x"}], **others}


async def priced_rag(llm: LLM, costs: CostSettings) -> AsyncRAG:
    rag = AsyncRAG(
        Settings(costs=costs), index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm
    )
    await rag.ingest(("a.md", "A river."))
    return rag


def sums(folder: Path, by: Any = "model") -> list[CostSum]:
    ledger = CostLedger(folder / COSTS_NAME)
    found = ledger.sums(by)
    ledger.close()
    return found


def key(cost_per_day: float | None = None, *, tenant: str = "t", name: str = "k") -> ApiKey:
    limits = KeyLimits(cost_per_day=cost_per_day)
    return ApiKey(name=name, digest="", tenant=tenant, limits=limits)


async def test_a_request_costs_what_its_tokens_cost(tmp_path: Path) -> None:
    rag = await priced_rag(ScriptedLLM(lambda _: "hello"), CostSettings(prices=PRICES))
    async with running_server(tmp_path, rag=rag) as server:
        body = asked(metadata={"conversation": "talk"})
        usages = [(await server.http.post(CHAT, json=body)).json()["usage"] for _ in range(2)]
        text = (await server.http.get("/metrics")).text
    (found,) = sums(tmp_path)
    cost = sum(one["prompt_tokens"] + 2 * one["completion_tokens"] for one in usages)
    assert (found.name, found.requests, found.cost) == ("scripted", 2, cost)
    assert f'ragkit_cost_total{{model="scripted"}} {float(cost)}' in text
    assert [one.name for one in sums(tmp_path, "conversation")] == ["talk"]
    assert [one.name for one in sums(tmp_path, "key")] == ["local"]
    assert len(sums(tmp_path, "request")) == 2


async def test_every_call_of_an_agent_counts_for_its_request(tmp_path: Path) -> None:
    sum_of = says_action("I add.", (calculator().name, {"expression": "1+1"}))
    llm = ScriptedLLM([sum_of, says_finish("2")])
    rag = await priced_rag(llm, CostSettings(prices={"*": PriceSettings(completion=1)}))
    async with running_server(tmp_path, rag=rag) as server:
        response = await server.http.post(CHAT, json=asked(model="agent-react"))
        assert response.status_code == 200, response.text
    (found,) = sums(tmp_path)
    assert len(llm.calls) == 2
    assert found.requests == 1
    assert found.completion == response.json()["usage"]["completion_tokens"]


async def test_a_request_without_a_model_costs_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    await server.http.post(CHAT, json=asked(model="rag"))
    assert sums(tmp_path / "server") == []


async def test_a_key_whose_budget_is_used_up_is_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.sqlite")
    secret = keys.add("poor", tenant="default", limits=KeyLimits(cost_per_day=2000))
    rich = keys.add("rich", tenant="default")
    rag = await priced_rag(ScriptedLLM(lambda _: "hello"), CostSettings(prices=PRICES))
    options = ServerOptions(folder=tmp_path, keys=keys)
    async with running_server(tmp_path, rag=rag, options=options) as server:
        headers = {"Authorization": f"Bearer {secret}"}
        first = await server.http.post(CHAT, json=asked(max_tokens=900), headers=headers)
        assert first.status_code == 200
        # What was set aside for the first was given back, since it took less.
        second = await server.http.post(CHAT, json=asked(max_tokens=900), headers=headers)
        assert second.status_code == 200
        refused = await server.http.post(CHAT, json=asked(max_tokens=2000), headers=headers)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "budget_exceeded"
        assert 0 < int(refused.headers["retry-after"]) <= 86400
        other = {"Authorization": f"Bearer {rich}"}
        assert (await server.http.post(CHAT, json=asked(), headers=other)).status_code == 200
        # What asks no model is not refused.
        search = await server.http.post("/v1/search", json={"query": "river"}, headers=headers)
        assert search.status_code == 200
        text = (await server.http.get("/metrics")).text
        assert 'ragkit_refused_total{reason="budget"} 1.0' in text


class _Endless(ScriptedLLM):
    """Comes to no end."""

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        yield Delta(text="on and on ")
        await asyncio.Event().wait()


async def test_a_reply_that_is_left_costs_what_was_set_aside(tmp_path: Path) -> None:
    settings = CostSettings(prices=PRICES, tenant_per_day={"default": 10_000})
    rag = await priced_rag(_Endless([]), settings)
    options = ServerOptions(folder=tmp_path, request_s=0.2)
    async with running_server(tmp_path, rag=rag, options=options) as server:
        await server.http.post(CHAT, json=asked(stream=True, max_tokens=100))
    (found,) = sums(tmp_path)
    assert found.name == "unknown"
    assert found.cost > 200


def test_what_a_killed_server_set_aside_stays_spent(tmp_path: Path) -> None:
    settings = CostSettings(prices=PRICES)
    killed = CostLedger(tmp_path / "c", settings)
    token = request_id.set("killed")
    killed.reserve(key(1000), model="scripted", usage=Usage(prompt=800))
    request_id.reset(token)
    after = CostLedger(tmp_path / "c", settings)
    with pytest.raises(ApiError, match="budget of the key"):
        after.reserve(key(1000), model="scripted", usage=Usage(prompt=300))
    after.reserve(key(1000, name="other"), model="scripted", usage=Usage(prompt=300))


def test_reservations_of_two_writers_never_exceed_a_budget(tmp_path: Path) -> None:
    settings = CostSettings(prices=PRICES, tenant_per_day={"t": 50})
    ledgers = [CostLedger(tmp_path / "c", settings) for _ in range(2)]

    def reserve(number: int) -> bool:
        try:
            ledgers[number % 2].reserve(key(), model="scripted", usage=Usage(prompt=10))
        except ApiError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(reserve, range(20))) == 5


def test_a_budget_begins_again_with_the_day(tmp_path: Path) -> None:
    now = 86_400.0 * 3 - 10
    ledger = CostLedger(tmp_path / "c", CostSettings(prices=PRICES), now=lambda: now)
    ledger.reserve(key(10), model="scripted", usage=Usage(prompt=10))
    with pytest.raises(ApiError) as refused:
        ledger.reserve(key(10), model="scripted", usage=Usage(prompt=1))
    assert refused.value.retry_after_s == 10
    now += 10
    ledger.reserve(key(10), model="scripted", usage=Usage(prompt=10))
    assert [one.name for one in ledger.sums("day")] == ["1970-01-03", "1970-01-04"]
    assert [one.name for one in ledger.sums("day", since="1970-01-04")] == ["1970-01-04"]


def test_names_of_any_text_are_kept_apart(tmp_path: Path) -> None:
    ledger = CostLedger(tmp_path / "c", CostSettings(prices=PRICES, tenant_per_day={"': --": 1}))
    ledger.reserve(key(tenant="': --"), model="scripted", usage=Usage(prompt=1))
    ledger.reserve(
        key(5, tenant="東京"), model="scripted", usage=Usage(prompt=1), conversation="x" * 9999
    )
    assert [one.name for one in ledger.sums("tenant")] == ["': --", "東京"]
    assert max(len(one.name) for one in ledger.sums("conversation")) == 200


def test_a_model_without_a_price_costs_nothing_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = CostLedger(tmp_path / "c", CostSettings(prices=PRICES))
    assert ledger.cost_of("other", MILLION) == 0
    assert ledger.cost_of("other", MILLION) == 0
    assert caplog.text.count("'other' has no price. Fix: add it to costs.prices.") == 1


def test_an_hour_of_a_gpu_is_a_price_of_tokens() -> None:
    price = price_of(PriceSettings(gpu_hour=3.6, completion_tokens_per_s=1000))
    assert price.prompt == 0
    assert price.completion == pytest.approx(1.0)
    assert price_of(PriceSettings(prompt=1, completion=2, cached=0.1)).cached == 0.1


@pytest.mark.parametrize(
    "wrong",
    [{"gpu_hour": 1}, {"prompt_tokens_per_s": 5}, {"prompt": -1}, {"prompt": "nan"}, {"x": 1}],
)
def test_a_price_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate(wrong)


def pooling_server(request: ServerRequest) -> ServerResponse:
    """Embed every text as one unit vector, for 50 tokens a request."""
    if request.path == "/v1/models":
        return served_models("embeds", context=512)
    texts = request.body["input"]
    assert isinstance(texts, list)
    data: list[Json] = [{"index": at, "embedding": [1.0, 0.0]} for at in range(len(texts))]
    return ServerResponse(body={"data": data, "usage": {"total_tokens": 50}})


@pytest.mark.parametrize(("priced", "cost"), [("embeds", 50.0), ("*", 0.0)])
async def test_an_embedding_server_costs_its_tokens_where_its_model_has_a_price(
    tmp_path: Path, priced: str, cost: float
) -> None:
    prices = {priced: PriceSettings(prompt=1_000_000)}
    async with EmulatedModelServer(pooling_server) as pooling:
        settings = Settings(
            costs=CostSettings(prices=prices),
            embedder=EmbedderSettings(model=f"vllm:{pooling.url}"),
        )
        rag = AsyncRAG(settings, index=":memory:")
        await rag.ingest(("a.md", "A river."))  # an ingestion costs nothing
        async with running_server(tmp_path, rag=rag) as server:
            sent = await server.http.post("/v1/embeddings", json={"input": ["x", "y"], "model": ""})
            assert sent.status_code == 200, sent.text
            found = await server.http.post("/v1/search", json={"query": "river"})
            assert found.status_code == 200, found.text
    assert sum(one.cost for one in sums(tmp_path)) == 2 * cost
    assert [one.name for one in sums(tmp_path)] == (["embeds"] if cost else [])
