"""The proxy in front of a small server of events, which needs no model."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from ragkit.testing.faulty_proxy import Fault, FaultyProxy

EVENTS = [f'data: {{"choices": [{{"delta": {{"content": "{n}"}}}}]}}\n\n' for n in range(9)]
PATH = "/v1/chat/completions"


class Upstream:
    """Answers every request with nine events, and keeps the bodies that it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        self.bodies.append(await reader.readexactly(int(length or 0)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for event in EVENTS:
            writer.write(f"{len(event):x}\r\n{event}\r\n".encode())
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[FaultyProxy]:
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, FaultyProxy(f"http://127.0.0.1:{port}") as proxy:
        yield proxy


async def posted(proxy: FaultyProxy) -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as client:
        return await client.post(f"{proxy.url}{PATH}", json={"structured_outputs": {}, "n": 1})


async def test_without_a_fault_everything_passes(proxy: FaultyProxy, upstream: Upstream) -> None:
    assert (await posted(proxy)).text == "".join(EVENTS)
    assert b"structured_outputs" in upstream.bodies[0]
    assert proxy.asked == 1


@pytest.mark.parametrize("status", ["500", "429", "503"])
async def test_a_refusal_carries_its_status_and_the_wait(status: Fault, proxy: FaultyProxy) -> None:
    proxy.set(status)
    proxy.retry_after = "7"
    response = await posted(proxy)
    assert response.status_code == int(status)
    assert response.headers["retry-after"] == "7"
    assert response.json()["error"]["message"] == "made to fail"


async def test_only_completions_are_broken(proxy: FaultyProxy) -> None:
    proxy.set("500")
    async with httpx.AsyncClient(timeout=5) as client:
        assert (await client.get(f"{proxy.url}/v1/models")).status_code == 200
    assert proxy.asked == 0


async def test_a_fault_may_depend_on_the_number_of_the_call(proxy: FaultyProxy) -> None:
    proxy.set(lambda number: "503" if number == 1 else "none")
    assert [(await posted(proxy)).status_code for _ in range(3)] == [200, 503, 200]


@pytest.mark.parametrize("fault", ["early end", "garbage"])
async def test_a_stream_ends_too_early(fault: Fault, proxy: FaultyProxy) -> None:
    proxy.set(fault)
    text = (await posted(proxy)).text
    assert text.startswith(EVENTS[0])
    assert EVENTS[-1] not in text
    assert ('"delta"\n\n' in text) is (fault == "garbage")


async def test_a_stream_is_cut_in_the_middle_of_an_event(proxy: FaultyProxy) -> None:
    proxy.set("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        await posted(proxy)


async def test_a_stalled_stream_sends_nothing_more(proxy: FaultyProxy) -> None:
    proxy.set("stall")
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=0.2)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(f"{proxy.url}{PATH}", json={})


async def test_a_grammar_can_be_hidden_and_a_page_sent(
    proxy: FaultyProxy, upstream: Upstream
) -> None:
    proxy.set("no grammar")
    await posted(proxy)
    assert upstream.bodies == [b'{"n": 1}']
    proxy.set("html")
    assert (await posted(proxy)).headers["content-type"] == "text/html"


async def test_a_killed_proxy_refuses_until_it_starts_again(proxy: FaultyProxy) -> None:
    await proxy.kill()
    with pytest.raises(httpx.ConnectError):
        await posted(proxy)
    await proxy.start()
    assert (await posted(proxy)).status_code == 200
