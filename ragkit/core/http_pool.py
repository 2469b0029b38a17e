"""Connections that cancelled requests left behind in a pool of httpx."""

# ruff: noqa: SLF001 - the lists of the pool are private

from contextlib import suppress
from typing import Any

import httpx


async def reclaim_connections(client: httpx.AsyncClient) -> None:
    """Close the connections of a client that are busy for no request; call it after a failed one.

    httpcore forgets a connection whose request is cancelled between its opening and its first use:
    it would stay open for ever (https://github.com/encode/httpcore/issues/1093).
    """
    private: Any = client
    for transport in (private._transport, *private._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        if pool is None:
            continue
        owned = {id(request.connection) for request in pool._requests}
        lost = [one for one in pool.connections if id(one) not in owned and not one.is_idle()]
        for connection in lost:
            pool._connections.remove(connection)
        for connection in lost:
            with suppress(OSError, httpx.HTTPError):
                await connection.aclose()
