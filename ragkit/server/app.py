"""The FastAPI application: endpoints, limits and errors around an `AsyncRAG`."""

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ragkit
from ragkit.core.errors import RagkitError
from ragkit.core.operation import add_observer, remove_observer
from ragkit.index.build import folder, is_folder
from ragkit.sdk import AsyncRAG
from ragkit.server import (
    chat,
    documents,
    errors,
    evaluation,
    index_calls,
    responses,
    retrieval,
)
from ragkit.server.admission import Gate, KeyRates, RequestQueue
from ragkit.server.costs import COSTS_NAME, CostLedger, CostMeter
from ragkit.server.documents import ingest_job
from ragkit.server.errors import ApiError
from ragkit.server.jobs import IngestJobs
from ragkit.server.keys import LOOPBACK, ApiKey, KeyFile
from ragkit.server.metrics import Metrics
from ragkit.server.observation import Observation
from ragkit.server.pipelines import pipelines_of
from ragkit.server.state import ServerState, State

_log = logging.getLogger(__name__)

DESCRIPTION = "Search, answers, agents and documents, in the form of OpenAI's API."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The limits of a server.

    Attributes:
        folder: Where ingestion jobs are kept.
        keys: API keys; None lets everybody in as an administrator.
        open_until_first_key: Let everybody in for as long as there was no key in `keys`.
        running: Requests that run at once.
        waiting: Requests that wait for a turn; others get 429.
        wait_s: Seconds that a request waits at most.
        request_s: Seconds that a request takes at most.
        body_bytes: Bytes of a request's body, uploads included.
        origins: Web pages that may call the server (CORS); none by default.
        hosts: Names that the server may be called by. Without keys these are this machine's own, so
            that no web page can reach it by a name that it rebinds; with keys any by default.
    """

    folder: Path = Path(".ragkit/server")
    keys: KeyFile | None = None
    open_until_first_key: bool = False
    running: int = 32
    waiting: int = 128
    wait_s: float = 10.0
    request_s: float = 600.0
    body_bytes: int = 100 * 2**20
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None

    @property
    def trusted(self) -> tuple[str, ...]:
        """The names that the server may be called by."""
        if self.hosts is not None:
            return self.hosts
        is_open = self.keys is None or (self.open_until_first_key and not self.keys.any())
        return LOOPBACK if is_open else ("*",)


def build_app(rags: Mapping[str, AsyncRAG], options: ServerOptions | None = None) -> FastAPI:
    """Make the application.

    Args:
        rags: Indexes by collection; `""` is the default one, and the only one with documents.
        options: Its limits.

    Raises:
        InputError: The folder of jobs cannot be used, or another server uses it.
    """
    options = options or ServerOptions()
    state = _state(rags, options)
    state.jobs.open()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        for rag in rags.values():
            await _opened(rag)
        observers = (state.metrics.operations, CostMeter())
        for observer in observers:
            add_observer(observer)
        try:
            await state.jobs.start()
            yield
        finally:
            state.closing.set()
            await state.jobs.stop()
            for observer in observers:
                remove_observer(observer)
            state.costs.close()
            for rag in rags.values():
                await rag.close()
            if options.keys is not None:
                options.keys.close()

    app = FastAPI(
        title="ragkit",
        version=ragkit.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.ragkit = state
    errors.install(app)
    for part in (chat, responses, retrieval, documents, evaluation, index_calls):
        app.include_router(part.router, responses=errors.DOCUMENTED)
    _add_operations(app)
    app.openapi = functools.partial(_described, app)  # type: ignore[method-assign]  # as FastAPI says
    app.add_middleware(BodyLimit, most=options.body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(options.trusted))
    app.add_middleware(Observation, metrics=state.metrics)  # around them: refusals are seen too
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


async def _opened(rag: AsyncRAG) -> bool:
    """Open or create an index, so that documents can be uploaded to a new one."""
    try:
        await rag.index(create=True)
    except RagkitError as error:
        _log.warning("The index cannot be opened: %s", error)
        return False
    return True


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, without the 422 that FastAPI would send for a wrong body."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _state(rags: Mapping[str, AsyncRAG], options: ServerOptions) -> ServerState:
    rag = rags[""]

    local = ApiKey(name="local", digest="", tenant=rag.settings.tenant, role="admin")
    return ServerState(
        rags=rags,
        pipelines=pipelines_of(rags),
        gate=Gate(
            keys=options.keys, local=local, open_until_first_key=options.open_until_first_key
        ),
        rates=KeyRates(),
        queue=RequestQueue(running=options.running, waiting=options.waiting, wait_s=options.wait_s),
        metrics=Metrics(rag.settings.slo),
        jobs=IngestJobs(options.folder, functools.partial(ingest_job, rag)),
        costs=CostLedger(options.folder / COSTS_NAME, rag.settings.costs),
        request_seconds=options.request_s,
    )


def _note_disks(state: ServerState) -> None:
    state.metrics.note_disk("jobs", state.jobs.folder)
    location = state.rag.settings.index.location
    if is_folder(location):
        state.metrics.note_disk("index", folder(location))


def _add_operations(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operations"], summary="Report that the process runs")
    async def healthz() -> dict[str, str]:
        """Return at once, whatever the state of the index."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], summary="Report that the index can be read")
    async def readyz(state: State) -> dict[str, str]:
        """Return 503 while the index cannot be read or the server shuts down."""
        if state.closing.is_set():
            raise ApiError(503, "The server is shutting down.", code="shutting_down")
        if not await _opened(state.rag):
            raise ApiError(503, "The index cannot be opened.", code="not_ready")
        try:
            await (await state.rag.index()).records(["readyz"])
        except RagkitError as error:
            raise ApiError(503, "The index cannot be read.", code="not_ready") from error
        return {"status": "ready"}

    @app.get("/metrics", tags=["operations"], summary="Metrics for Prometheus", response_model=None)
    async def metrics(request: Request, state: State) -> Response:
        """Return counts and times since the start; no key is needed."""
        state.metrics.running.set(state.queue.running)
        state.metrics.waiting.set(state.queue.waiting)
        for rag in state.rags.values():
            state.metrics.note_breakers(rag.llm)
        await asyncio.to_thread(_note_disks, state)
        content, kind = state.metrics.text(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": kind})


class BodyLimit:
    """ASGI middleware that refuses bodies over a size, whether or not they say their length."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        """Let bodies of at most `most` bytes through."""
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = ApiError(413, f"The body has more than {self._most} bytes.", code="too_large")
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0") or b"0") > self._most:
            await refusal.response(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                # FastAPI passes on HTTP errors alone from the reading of a body.
                raise HTTPException(refusal.status, str(refusal))
            return message

        await self._app(scope, counted, send)
