"""`FaultyProxy`: an HTTP proxy in front of a model server that injects faults."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias

import httpx

Fault: TypeAlias = Literal[
    "none", "500", "429", "503", "stall", "cut", "early end", "garbage", "html", "no grammar"
]
"""`stall`, `cut`, `early end` and `garbage` come after some events of a stream; `cut` is in the
middle of one. `html` is a page instead of a stream; `no grammar` hides the grammar."""

_EVENTS = 4
_LINE = b"\r\n"


class FaultyProxy:
    """An HTTP server on loopback that forwards to another; an asynchronous context manager.

    Attributes:
        retry_after: The Retry-After header of refusals.
        open: Open connections of clients.
        asked: Completions requested so far.
    """

    def __init__(self, upstream: str, fault: Fault | Callable[[int], Fault] = "none") -> None:
        """Forward to `upstream`; only completions get faults.

        A function as `fault` receives the number of the completion, from 0.
        """
        self._upstream = upstream
        self._fault = _each(fault)
        self.retry_after = "0"
        self.open = 0
        self.asked = 0
        self.url = ""
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._client = httpx.AsyncClient(base_url=upstream, timeout=60)

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def kill(self) -> None:
        """Stop listening and drop every connection, as a killed process does."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def set(self, fault: Fault | Callable[[int], Fault]) -> None:
        """Inject another fault from now on."""
        self._fault = _each(fault)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.kill()
        await self._client.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, httpx.HTTPError):
            pass  # the client went away, or the upstream did: either way this connection ends
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Forward one request; return False where the connection has to end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        length = next(
            (int(line[15:]) for line in head if line.lower().startswith("content-length:")), 0
        )
        body = await reader.readexactly(length)
        fault: Fault = "none"
        if path.endswith("/completions"):
            fault = self._fault(self.asked)
            self.asked += 1
        if fault in {"500", "429", "503"}:
            await self._refuse(writer, int(fault))
            return True
        if fault == "html":
            await self._send(writer, 200, "text/html", b"<html>Welcome to the proxy</html>")
            return True
        if fault == "no grammar":
            asked = json.loads(body)
            asked.pop("structured_outputs", None)
            body = json.dumps(asked).encode()
        return await self._forward(reader, writer, (method, path, body), fault)

    async def _refuse(self, writer: asyncio.StreamWriter, status: int) -> None:
        error = {"error": {"message": "made to fail", "type": "test", "code": status}}
        await self._send(writer, status, "application/json", json.dumps(error).encode())

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, kind: str, body: bytes
    ) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Retry-After: {self.retry_after}\r\n\r\n".encode() + body)
        await writer.drain()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: tuple[str, str, bytes],
        fault: Fault,
    ) -> bool:
        method, path, body = request
        headers = {"Content-Type": "application/json"}
        async with self._client.stream(method, path, content=body, headers=headers) as response:
            kind = response.headers.get("content-type", "")
            writer.write(f"HTTP/1.1 {response.status_code} X\r\nContent-Type: {kind}\r\n".encode())
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            number = 0
            async for chunk in _until_gone(response, reader):
                number += chunk.count(b"data:")
                if number > _EVENTS and fault in {"stall", "cut", "early end", "garbage"}:
                    return await self._break(reader, writer, chunk, fault)
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + _LINE)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return True

    async def _break(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        chunk: bytes,
        fault: Fault,
    ) -> bool:
        if fault == "stall":
            await reader.read()  # until the client hangs up
        elif fault == "cut":
            half = chunk[: len(chunk) // 2]
            writer.write(f"{len(chunk):x}\r\n".encode() + half)
            await writer.drain()
            writer.transport.abort()
        elif fault == "garbage":
            junk = b'data: {"choices": [{"delta"\n\n'
            writer.write(f"{len(junk):x}\r\n".encode() + junk + b"\r\n0\r\n\r\n")
        else:
            writer.write(b"0\r\n\r\n")
        return False


def _each(fault: Fault | Callable[[int], Fault]) -> Callable[[int], Fault]:
    if callable(fault):
        return fault
    always: Fault = fault
    return lambda _: always


async def _until_gone(
    response: httpx.Response, reader: asyncio.StreamReader
) -> AsyncIterator[bytes]:
    """The chunks of a response, until the client hangs up."""
    async for chunk in response.aiter_raw():
        if reader.at_eof():
            raise ConnectionResetError
        yield chunk
