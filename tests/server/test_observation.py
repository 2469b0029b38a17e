import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from ragkit import AsyncRAG, ProviderError, Settings
from ragkit.core.operation import is_observed
from ragkit.core.settings import SLOSettings
from ragkit.core.types import Delta
from ragkit.llm.call import Call
from ragkit.llm.wrappers.circuit_breaker import CircuitBreaker
from ragkit.server.app import ServerOptions
from ragkit.server.metrics import ReplyTimes
from ragkit.testing import FailingLLM, HashEmbedder, ScriptedLLM
from ragkit.testing.llm import Script
from ragkit.testing.server import RunningServer, filled_rag, running_server
from tests.telemetry.conftest import Traced, traced

__all__ = ["traced"]
OPEN_METRICS = {"Accept": "application/openmetrics-text"}


async def scraped(server: RunningServer) -> dict[str, float]:
    """Every sample of the server's metrics, by its name and labels."""
    await server.http.get("/metrics")  # which sets what is read only then
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in server.app.state.ragkit.metrics.registry.collect()
        for sample in family.samples
    }


def at(name: str, **labels: str) -> str:
    return name + json.dumps(labels, sort_keys=True)


def asked(model: str = "rag", **others: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "longest river?"}], **others}


CHAT = "/v1/chat/completions"


class HeldLLM(ScriptedLLM):
    """Replies once it is released."""

    def __init__(self, replies: Script) -> None:
        super().__init__(replies)
        self.asked, self.released = asyncio.Event(), asyncio.Event()

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        self.asked.set()
        await self.released.wait()
        async for delta in super().respond(call):
            yield delta


@pytest.fixture
async def strict_server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """A server whose objectives no reply can meet."""
    rag = await filled_rag()
    never = Settings(slo=SLOSettings(reply_s=1e-9))
    strict = AsyncRAG(never, index=await rag.index(), embedder=HashEmbedder(dimensions=64))
    async with running_server(tmp_path, rag=strict) as server:
        yield server


async def test_a_reply_is_timed_whole_or_streamed(tmp_path: Path) -> None:
    llm = ScriptedLLM(lambda _: "a reply of many tokens")
    async with running_server(tmp_path, llm=llm) as server:
        await server.http.post(CHAT, json=asked("llm"))
        await server.http.post(CHAT, json=asked("llm", stream=True))
        found = await scraped(server)
    for name in ("time_to_first_text", "time_per_output_token", "reply"):
        assert found[at(f"ragkit_{name}_seconds_count", model="llm")] == 2, name
    assert found[at("ragkit_tokens_total", model="llm", kind="completion")] > 2
    assert found[at("ragkit_model_call_seconds_count", model="scripted")] == 2
    assert found[at("ragkit_request_duration_seconds_count", route=CHAT)] == 2


async def test_goodput_counts_replies_that_met_every_objective(
    server: RunningServer, strict_server: RunningServer
) -> None:
    for one, good in ((server, 1), (strict_server, 0)):
        assert (await one.http.post(CHAT, json=asked())).status_code == 200
        found = await scraped(one)
        assert found[at("ragkit_slo_replies_total", model="rag")] == 1
        assert found[at("ragkit_slo_good_replies_total", model="rag")] == good


async def test_a_reply_that_fails_meets_no_objective(tmp_path: Path) -> None:
    llm = FailingLLM(ProviderError("down", provider="x"))
    async with running_server(tmp_path, llm=llm) as server:
        assert (await server.http.post(CHAT, json=asked("llm"))).status_code == 502
        found = await scraped(server)
    assert found[at("ragkit_slo_replies_total", model="llm")] == 1
    assert found[at("ragkit_slo_good_replies_total", model="llm")] == 0


@pytest.mark.parametrize(
    ("objectives", "good"),
    [
        ({}, True),
        ({"first_text_s": 1}, True),
        ({"first_text_s": 0.4}, False),
        ({"token_s": 0.01}, False),
        ({"reply_s": 2, "token_s": 1}, True),
    ],
)
def test_every_objective_that_is_set_counts(objectives: dict[str, float], good: bool) -> None:
    times = ReplyTimes(first_s=0.5, token_s=0.02, total_s=2)
    assert times.meets(SLOSettings.model_validate(objectives)) is good
    assert ReplyTimes(total_s=0.1).meets(SLOSettings(first_text_s=0.01, token_s=0.01))


async def test_an_open_breaker_is_a_metric(tmp_path: Path) -> None:
    failing = FailingLLM(ProviderError("down", provider="x", retryable=True))
    async with running_server(tmp_path, llm=CircuitBreaker(failing, failures=1)) as server:
        assert (await scraped(server))[at("ragkit_breaker_open", model="scripted")] == 0
        await server.http.post(CHAT, json=asked("llm"))
        assert (await scraped(server))[at("ragkit_breaker_open", model="scripted")] == 1


async def test_a_full_server_counts_what_it_refuses(tmp_path: Path) -> None:
    options = ServerOptions(folder=tmp_path, running=1, waiting=0)
    llm = HeldLLM(lambda _: "a reply")
    async with running_server(tmp_path, llm=llm, options=options) as server:
        first = asyncio.ensure_future(server.http.post(CHAT, json=asked("llm")))
        await llm.asked.wait()
        assert (await server.http.post(CHAT, json=asked("llm"))).status_code == 429
        llm.released.set()
        assert (await first).status_code == 200
        assert (await scraped(server))[at("ragkit_refused_total", reason="busy")] == 1


async def test_a_slow_request_links_to_its_trace_and_log(
    server: RunningServer, traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    spans = traced()
    with caplog.at_level(logging.INFO, "ragkit.server.requests"):
        response = await server.http.post(CHAT, json=asked())
    context = spans.named(f"request {CHAT}").context
    assert context is not None
    trace = f"{context.trace_id:032x}"
    text = (await server.http.get("/metrics", headers=OPEN_METRICS)).text
    linked = [line for line in text.splitlines() if trace in line]
    assert any(line.startswith("ragkit_request_seconds_bucket") for line in linked)
    assert any(line.startswith("ragkit_reply_seconds_bucket") for line in linked)
    (line,) = [one for one in caplog.records if one.name == "ragkit.server.requests"]
    facts = vars(line)
    assert (facts["route"], facts["status"], facts["trace_id"]) == (CHAT, 200, trace)
    assert facts["request_id"] if "request_id" in facts else response.headers["x-request-id"]


async def test_the_format_without_exemplars_is_the_default(server: RunningServer) -> None:
    response = await server.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "ragkit_running" in response.text


async def test_methods_and_paths_that_clients_make_up_are_no_labels(server: RunningServer) -> None:
    for number in range(5):
        await server.http.request(f"MADE{number}", f"/made/{number}")
    assert not [name for name in await scraped(server) if "made" in name.lower()]


async def test_a_server_that_ended_observes_nothing(tmp_path: Path) -> None:
    async with running_server(tmp_path):
        assert is_observed()
    assert not is_observed()


async def test_metrics_are_shown_whatever_format_is_asked_for(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        for accept in ("application/openmetrics-text;version=abc", "é", "text/html"):
            response = await server.http.get("/metrics", headers=[(b"accept", accept.encode())])
            assert response.status_code == 200, accept


@pytest.mark.parametrize("wrong", [{"max_tokens": 10**400}, {"seed": 2**70}, {"max_tokens": 2**40}])
async def test_a_number_that_no_server_takes_is_refused(
    tmp_path: Path, wrong: dict[str, int]
) -> None:
    body = {"model": "rag", "messages": [{"role": "user", "content": "x"}], **wrong}
    async with running_server(tmp_path) as server:
        response = await server.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert next(iter(wrong)) in response.text


async def test_requests_that_are_refused_at_the_door_have_their_line_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ragkit")
    async with running_server(
        tmp_path, options=ServerOptions(folder=tmp_path, body_bytes=100)
    ) as server:
        large = await server.http.post("/v1/search", content=b"x" * 200)
        foreign = await server.http.get("/healthz", headers={"host": "evil.example"})
        text = (await server.http.get("/metrics")).text
    for response, status in ((large, 413), (foreign, 400)):
        assert response.status_code == status
        assert response.headers["x-request-id"]
        assert f'status="{status}"' in text
    assert {413, 400} <= {getattr(one, "status", 0) for one in caplog.records}
