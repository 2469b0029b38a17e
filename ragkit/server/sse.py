"""Server-sent events: streams that end properly when a client leaves or the server stops."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ragkit.server.errors import ApiError, api_error
from ragkit.server.lifetime import too_long

DONE = b"data: [DONE]\n\n"
_SHUTTING_DOWN = ApiError(503, "The server is shutting down.", code="shutting_down")
_PING = b": ping\n\n"
_PING_SECONDS = 15.0


def event(data: Mapping[str, Any], *, name: str = "") -> bytes:
    """Return one event with JSON data."""
    head = f"event: {name}\n" if name else ""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"{head}data: {text}\n\n".encode()


class EventStream(StreamingResponse):
    """A stream of events that releases what it holds, whether or not it was ever read."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], *, holding: AsyncExitStack) -> None:
        """Stream `content`, and close `holding` at the end."""
        super().__init__(content, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._holding = holding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._holding.aclose()


async def guarded(
    events: AsyncGenerator[bytes], *, closing: asyncio.Event, seconds: float
) -> AsyncGenerator[bytes]:
    """Pass events on, with pings in silence; an error or the server's end becomes the last event.

    Args:
        events: The stream. It is closed in every case.
        closing: Ends the stream when it is set.
        seconds: The most that the whole stream may take.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    stop = asyncio.ensure_future(closing.wait())
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while True:
            if upcoming is None:
                upcoming = asyncio.ensure_future(anext(events))
            left = deadline - loop.time()
            awaited: set[asyncio.Future[bytes] | asyncio.Future[Literal[True]]] = {upcoming, stop}
            await asyncio.wait(
                awaited,
                timeout=min(_PING_SECONDS, max(0.0, left)),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if upcoming.done() and (left > 0 or upcoming.exception() is not None):
                done, upcoming = upcoming, None
                yield done.result()
            elif stop.done() or left <= 0:
                yield event((_SHUTTING_DOWN if stop.done() else too_long()).body)
                yield DONE
                return
            else:
                yield _PING
    except StopAsyncIteration:
        return
    except Exception as error:  # noqa: BLE001 - the status is sent: an error is the last event
        yield event(api_error(error).body)
        yield DONE
    finally:
        stop.cancel()
        if upcoming is not None:
            upcoming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await upcoming
        await events.aclose()
