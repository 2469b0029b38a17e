"""A ragkit server in this process, over two small documents, for tests of its clients."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from ragkit.core.protocols import LLM
from ragkit.core.settings import AnswerSettings, Settings
from ragkit.core.types import Document
from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions, build_app
from ragkit.server.listener import bound
from ragkit.testing.embedder import HashEmbedder

RIVERS = "# Rivers\n\nThe longest river of Europe is the Volga. It flows into the Caspian Sea.\n"
"""The text of `rivers.md`, of the tenant `default`."""
LAKES = "# Lakes\n\nThe deepest lake of the world is Lake Baikal.\n"
"""The text of `lakes.md`, of the tenant `default`."""
SECRET = "The password is swordfish."
"""The text of `secret.md`, of the tenant `other`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """An application inside its lifespan.

    Attributes:
        app: The application.
        http: A client for it, without a network.
    """

    app: FastAPI
    http: httpx.AsyncClient

    async def until_done(self, job: str, **headers: str) -> dict[str, Any]:
        """Wait for an ingestion job and return its JSON."""
        while True:
            response = await self.http.get(f"/v1/jobs/{job}", headers=headers)
            found: dict[str, Any] = response.json()
            if found["state"] in {"done", "failed"}:
                return found
            await asyncio.sleep(0.01)


async def filled_rag(llm: LLM | None = None) -> AsyncRAG:
    """Return an index in memory with the three documents, embedded by a double."""
    settings = Settings(answer=AnswerSettings(mode="extractive", threshold=0.0))
    rag = AsyncRAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm)
    await rag.ingest(_document("rivers.md", RIVERS), _document("lakes.md", LAKES))
    await rag.ingest(_document("secret.md", SECRET), tenant="other")
    return rag


@asynccontextmanager
async def running_server(
    folder: Path,
    *,
    options: ServerOptions | None = None,
    llm: LLM | None = None,
    rag: AsyncRAG | None = None,
) -> AsyncGenerator[RunningServer]:
    """Run a server.

    Args:
        folder: Where it keeps its jobs, unless `options` say otherwise.
        options: The server's options.
        llm: Its language model.
        rag: Its index, instead of one with the three documents and `llm`.
    """
    app = build_app({"": rag or await filled_rag(llm)}, options or ServerOptions(folder=folder))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as http,
    ):
        yield RunningServer(app=app, http=http)


@contextmanager
def listening(app: FastAPI, *, port: int = 0) -> Generator[str]:
    """Serve an application on this machine from a thread, and yield its URL."""
    socket = bound("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        app.state.ragkit.closing.set()
        server.should_exit = True
        thread.join()


def _document(uri: str, text: str) -> Document:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Document(uri=uri, title=uri.partition(".")[0], text=text, content_hash=digest)
