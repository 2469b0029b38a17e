"""`EmulatedModelServer`: an OpenAI-compatible server on loopback whose responses a test writes."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

from ragkit.core.types import Json

_NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """A request that an emulated server received."""

    method: str
    path: str
    body: Mapping[str, Json]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerResponse:
    """A response of an emulated server.

    Attributes:
        body: Sent as JSON.
        status: The HTTP status.
        events: Sent as server-sent events instead of the body, with `[DONE]` at the end.
        hangs: Send nothing more after the events, or nothing at all, until the client leaves.
        headers: Further headers.
        delay_s: Seconds until it is sent, or until the client leaves.
    """

    body: Json = None
    status: int = 200
    events: Sequence[Json] | None = None
    hangs: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_NO_HEADERS))
    delay_s: float = 0.0


Respond: TypeAlias = Callable[[ServerRequest], ServerResponse]


class EmulatedModelServer:
    """An HTTP server with a function for its responses; an asynchronous context manager.

    Attributes:
        url: Its address, without `/v1`.
        requests: The requests so far.
        open: Connections of clients that are open now.
    """

    def __init__(self, respond: Respond) -> None:
        """Respond to each request with a function of it."""
        self._respond = respond
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.requests: list[ServerRequest] = []
        self.url = ""

    @property
    def open(self) -> int:
        """Connections of clients that are open now."""
        return len(self._writers)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await _received(reader)
                self.requests.append(request)
                response = self._respond(request)
                if response.delay_s:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(), response.delay_s)
                        return  # the client left
                await _send(writer, response)
                if response.hangs:
                    await reader.read()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _received(reader: asyncio.StreamReader) -> ServerRequest:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ServerRequest(
        method=method, path=path, body=json.loads(body) if body else {}, headers=headers
    )


async def _send(writer: asyncio.StreamWriter, response: ServerResponse) -> None:
    if response.hangs and response.events is None:
        return
    extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = f"HTTP/1.1 {response.status} X\r\n{extra}"
    if response.events is None:
        body = json.dumps(response.body).encode()
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
    else:
        writer.write(
            f"{head}Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for event in response.events:
            writer.write(_chunk(f"data: {json.dumps(event)}\n\n"))
        if not response.hangs:
            writer.write(_chunk("data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


def _chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def chat_events(*pieces: str, model: str = "emulated", finish: str = "stop") -> list[Json]:
    """Return the events of a streamed chat completion with these pieces of text."""
    texts: list[Json] = [
        {"model": model, "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces
    ]
    usage: Json = {"prompt_tokens": 5, "completion_tokens": len(pieces)}
    last: Json = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    return [*texts, last, {"choices": [], "usage": usage}]


def served_models(*names: str, context: int | None = None) -> ServerResponse:
    """Return the response of `/v1/models`; only vLLM reports the context (`max_model_len`)."""
    known: dict[str, Json] = {} if context is None else {"max_model_len": context}
    return ServerResponse(body={"data": [{"id": name, **known} for name in names]})
