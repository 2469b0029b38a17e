"""The end of requests that are not streams: when the client leaves, or their time is over."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from ragkit.server.errors import ApiError

T = TypeVar("T")


def too_long() -> ApiError:
    """Return the error for a request whose time is over."""
    return ApiError(504, "The request took too long.", code="timeout")


async def while_connected(request: Request, work: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """Await work, and cancel it when the client leaves or the seconds are over.

    Args:
        request: The request, whose body has been read.
        work: What the client waits for.
        seconds: The most that it may take.

    Raises:
        ApiError: The client left (499), or the work took too long (504).
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if leaving.done():
            raise ApiError(499, "The client closed the connection.", code="client_closed_request")
        raise too_long()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
