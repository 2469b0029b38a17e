# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
from typing import Any

import httpx

from ragkit.core.http_pool import reclaim_connections
from ragkit.testing.model_server import EmulatedModelServer, ServerResponse


def connections(client: httpx.AsyncClient) -> int:
    """The number of connections in the client's pool."""
    transport: Any = client._transport
    return len(transport._pool.connections)


async def test_a_connection_whose_request_was_cancelled_before_its_first_use_is_closed() -> None:
    async with (
        EmulatedModelServer(lambda _: ServerResponse(hangs=True)) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        for steps in range(40):  # a cancellation at each step of making the connection
            request = asyncio.create_task(client.get("/"))
            for _ in range(steps):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            await reclaim_connections(client)
        assert connections(client) == 0
        async with asyncio.timeout(60):
            while server.open:
                await asyncio.sleep(0)


async def test_what_is_idle_or_in_use_is_left_alone() -> None:
    def respond(request: object) -> ServerResponse:
        return ServerResponse(body={}) if "idle" in str(request) else ServerResponse(hangs=True)

    async with (
        EmulatedModelServer(respond) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        using = asyncio.create_task(client.get("/used"))
        while len(server.requests) < 1:
            await asyncio.sleep(0)
        await client.get("/idle")
        await reclaim_connections(client)
        assert connections(client) == 2
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
