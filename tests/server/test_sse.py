import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from ragkit.core.errors import ProviderError
from ragkit.server.sse import DONE, event, guarded


class Source:
    """Two events, then whatever `ending` does; notes that it was closed."""

    def __init__(self, ending: Exception | None = None, *, hangs: bool = False) -> None:
        self.closed = False
        self._ending = ending
        self._hangs = hangs

    async def events(self) -> AsyncGenerator[bytes]:
        try:
            yield b"one"
            yield b"two"
            if self._hangs:
                await asyncio.Event().wait()
            if self._ending is not None:
                raise self._ending
        finally:
            self.closed = True


def codes(events: list[bytes]) -> list[str]:
    found = [json.loads(one[6:]) for one in events if one.startswith(b"data: {")]
    return [one["error"]["code"] for one in found]


async def test_events_pass_unchanged_and_the_source_is_closed() -> None:
    source = Source()
    stream = guarded(source.events(), closing=asyncio.Event(), seconds=60)
    assert [one async for one in stream] == [b"one", b"two"]
    assert source.closed


async def test_an_error_is_the_last_event() -> None:
    source = Source(ProviderError("/home", provider="p", failure="refused"))
    events = [one async for one in guarded(source.events(), closing=asyncio.Event(), seconds=60)]
    assert codes(events) == ["provider_refused"]
    assert events[-1] == DONE
    assert b"/home" not in b"".join(events)


async def test_a_stream_that_hangs_ends_when_the_server_stops() -> None:
    source, closing = Source(hangs=True), asyncio.Event()
    events: list[bytes] = []
    async for one in guarded(source.events(), closing=closing, seconds=60):
        events.append(one)
        if one == b"two":
            closing.set()
    assert codes(events) == ["shutting_down"]
    assert events[-1] == DONE
    assert source.closed


async def test_a_stream_that_hangs_ends_at_its_limit() -> None:
    source = Source(hangs=True)
    events = [one async for one in guarded(source.events(), closing=asyncio.Event(), seconds=0.1)]
    assert codes(events) == ["timeout"]
    assert source.closed


async def test_a_client_that_leaves_closes_the_source() -> None:
    source = Source(hangs=True)
    stream = guarded(source.events(), closing=asyncio.Event(), seconds=60)
    assert await anext(stream) == b"one"
    await stream.aclose()
    assert source.closed


@pytest.mark.parametrize("text", ["a\nb", "ü 🐺", '"quotes"'])
def test_an_event_is_one_line_of_data(text: str) -> None:
    lines = event({"text": text}, name="kind").decode().splitlines()
    assert lines[0] == "event: kind"
    assert json.loads(lines[1].removeprefix("data: ")) == {"text": text}
    assert lines[2:] == [""]


async def test_a_stream_that_never_pauses_ends_when_its_time_is_over() -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"more"

    stream = guarded(endless(), closing=asyncio.Event(), seconds=0.05)
    events = [one async for one in stream]
    assert events[0] == b"more"
    assert codes(events) == ["timeout"]
    assert events[-1] == DONE
