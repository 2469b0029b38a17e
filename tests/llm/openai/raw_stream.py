"""A server on loopback whose chat completions are the text of a stream as a test writes it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Literal, TypeAlias

from ragkit.core.types import Json

Ending: TypeAlias = Literal["clean", "open", "cut"]
"""The end of a stream: as HTTP ends it, with nothing more to come, or broken off."""

TEXT: Json = {"model": "m", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}
FINISH: dict[str, Json] = {
    "model": "m",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
}
USAGE: dict[str, Json] = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}


def stream_text(*events: Json) -> str:
    """Return server-sent events as they are sent, without `[DONE]`."""
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


@contextlib.asynccontextmanager
async def raw_stream(
    text: str, *, ending: Ending = "clean", kind: str = "text/event-stream"
) -> AsyncGenerator[str]:
    """Serve the text as the reply to every request; the value is the server's URL."""
    body = text.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    sent = head.encode() + chunk + (b"0\r\n\r\n" if ending == "clean" else b"")

    tasks = set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, EOFError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
                await reader.readexactly(_length(lines))
                writer.write(sent)
                await writer.drain()
                if ending == "open":
                    await reader.read()
                if ending != "clean":
                    break

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*(task for task in tasks if task))  # its clients have left


def _length(lines: Sequence[str]) -> int:
    pairs = (line.partition(":") for line in lines)
    return next(int(value) for name, _, value in pairs if name.lower() == "content-length")
