import asyncio
from pathlib import Path

import pytest

from ragkit.server.admission import KeyRates, RequestQueue
from ragkit.server.app import ServerOptions
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey, KeyFile, KeyLimits, Role
from ragkit.testing.server import RunningServer, running_server

EVERYTHING = [
    ("GET", "/v1/models", "read"),
    ("GET", "/v1/models/rag", "read"),
    ("POST", "/v1/chat/completions", "read"),
    ("POST", "/v1/responses", "read"),
    ("POST", "/v1/search", "read"),
    ("POST", "/v1/embeddings", "read"),
    ("POST", "/v1/rerank", "read"),
    ("GET", "/v1/documents", "read"),
    ("GET", "/v1/documents/text?uri=a", "read"),
    ("GET", "/v1/documents/chunks?uri=a", "read"),
    ("GET", "/v1/jobs", "read"),
    ("GET", "/v1/jobs/x", "read"),
    ("GET", "/v1/jobs/x/events", "read"),
    ("GET", "/v1/index", "read"),
    ("POST", "/v1/index/search", "read"),
    ("POST", "/v1/index/fetch", "read"),
    ("POST", "/v1/index/chunks", "read"),
    ("POST", "/v1/index/vectors", "read"),
    ("POST", "/v1/index/records", "read"),
    ("POST", "/v1/index/versions", "read"),
    ("POST", "/v1/index/incomplete", "read"),
    ("POST", "/v1/index/commit", "write"),
    ("POST", "/v1/index/touch", "write"),
    ("POST", "/v1/index/delete", "write"),
    ("POST", "/v1/index/drop", "write"),
    ("POST", "/v1/index/discard", "write"),
    ("POST", "/v1/index/optimize", "write"),
    ("POST", "/v1/documents", "write"),
    ("DELETE", "/v1/documents?uri=a", "write"),
    ("POST", "/v1/eval", "admin"),
]


def key(**limits: int) -> ApiKey:
    return ApiKey(name="k", digest="d", tenant="t", limits=KeyLimits(**limits))


def test_requests_over_the_rate_wait_and_are_told_how_long() -> None:
    rates = KeyRates()
    for _ in range(3):
        rates.reserve(key(requests_per_minute=3), 0)
    with pytest.raises(ApiError) as caught:
        rates.reserve(key(requests_per_minute=3), 0)
    assert caught.value.status == 429
    assert 0 < (caught.value.retry_after_s or 0) <= 20


def test_reserved_tokens_are_settled_to_those_used() -> None:
    rates, limited = KeyRates(), key(tokens_per_minute=100)
    rates.reserve(limited, 90)
    with pytest.raises(ApiError, match="tokens"):
        rates.reserve(limited, 90)
    rates.settle(limited, reserved=90, used=5)
    rates.reserve(limited, 90)
    rates.settle(limited, reserved=90, used=500)
    with pytest.raises(ApiError) as caught:
        rates.reserve(limited, 1)
    assert (caught.value.retry_after_s or 0) > 60


def test_a_refused_request_takes_nothing() -> None:
    rates, limited = KeyRates(), key(tokens_per_minute=100, requests_per_minute=2)
    rates.reserve(limited, 100)
    for _ in range(5):
        with pytest.raises(ApiError, match="tokens"):
            rates.reserve(limited, 50)
    rates.settle(limited, reserved=100, used=0)
    rates.reserve(limited, 50)


async def test_the_queue_bounds_what_runs_and_what_waits() -> None:
    queue = RequestQueue(running=1, waiting=1, wait_s=60)
    go, order = asyncio.Event(), list[str]()

    async def job(name: str) -> None:
        async with queue.turn():
            order.append(name)
            await go.wait()

    first, second = asyncio.create_task(job("first")), asyncio.create_task(job("second"))
    while queue.waiting == 0 or queue.running == 0:
        await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        async with queue.turn():
            pass
    assert (caught.value.status, caught.value.code) == (429, "server_busy")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert queue.waiting == 0
    go.set()
    await first
    assert order == ["first"]
    assert queue.running == 0


@pytest.mark.parametrize(("method", "path", "role"), EVERYTHING)
async def test_no_key_an_unknown_one_and_too_small_a_role_are_refused(
    guarded_server: RunningServer, keys: KeyFile, method: str, path: str, role: Role
) -> None:
    ask = guarded_server.http.request
    assert (await ask(method, path)).status_code == 401
    for wrong in ("Bearer rk-wrong", "Bearer ", "Basic abc", "rk-x"):
        response = await ask(method, path, headers={"Authorization": wrong})
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
    if role != "read":
        smaller: Role = "read" if role == "write" else "write"
        secret = keys.add("other", tenant="default", role=smaller)
        response = await ask(method, path, headers={"Authorization": f"Bearer {secret}"})
        assert response.status_code == 403


async def test_the_first_key_closes_a_server_that_runs_and_its_removal_does_not_open_it(
    keys: KeyFile, tmp_path: Path
) -> None:
    options = ServerOptions(folder=tmp_path / "server", keys=keys, open_until_first_key=True)
    async with running_server(tmp_path, options=options) as server:
        ask = server.http.get
        assert (await ask("/v1/documents")).status_code == 200
        secret = keys.add("first", tenant="default")
        assert (await ask("/v1/documents")).status_code == 401
        header = {"Authorization": f"Bearer {secret}"}
        assert (await ask("/v1/documents", headers=header)).status_code == 200
        keys.remove("first")
        assert (await ask("/v1/documents")).status_code == 401
        assert (await ask("/v1/documents", headers=header)).status_code == 401


async def test_every_route_is_in_the_list_above(server: RunningServer) -> None:
    listed = {(method, path.partition("?")[0]) for method, path, _ in EVERYTHING}
    found = {
        (method.upper(), path.replace("{name}", "x" if "jobs" in path else "rag"))
        for path, methods in server.app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    }
    assert found == listed


async def test_a_key_over_its_rate_gets_429_with_retry_after(
    guarded_server: RunningServer, keys: KeyFile
) -> None:
    limits = KeyLimits(requests_per_minute=1)
    header = {"Authorization": f"Bearer {keys.add('k', tenant='default', limits=limits)}"}
    post = guarded_server.http.post
    assert (await post("/v1/search", json={"query": "x"}, headers=header)).status_code == 200
    refused = await post("/v1/search", json={"query": "x"}, headers=header)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
