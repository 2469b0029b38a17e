"""The parts that the endpoints of one application share."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ragkit.core.types import Usage
from ragkit.llm.call import model_name
from ragkit.sdk import AsyncRAG
from ragkit.server.admission import Gate, KeyRates, RequestQueue
from ragkit.server.costs import CostLedger
from ragkit.server.errors import ApiError
from ragkit.server.jobs import IngestJobs
from ragkit.server.keys import ApiKey
from ragkit.server.metrics import Metrics
from ragkit.server.replies import ReplyPipeline


@dataclass(kw_only=True)
class ServerState:
    """Everything an endpoint needs.

    Attributes:
        rags: Indexes by collection; `""` is the default one.
        pipelines: Pipelines by model name.
        closing: Set when the server shuts down, so that streams end properly.
        request_seconds: The most that one request may take.
    """

    rags: Mapping[str, AsyncRAG]
    pipelines: Mapping[str, ReplyPipeline]
    gate: Gate
    rates: KeyRates
    queue: RequestQueue
    metrics: Metrics
    jobs: IngestJobs
    costs: CostLedger
    request_seconds: float
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def rag(self) -> AsyncRAG:
        """The default index."""
        return self.rags[""]


@dataclass(kw_only=True)
class Admission:
    """A request that was let in. Set `used` to the tokens that it took."""

    used: int | None = None


def state_of(request: Request) -> ServerState:
    """Return the state of the application that serves a request."""
    state: ServerState = request.app.state.ragkit
    return state


@asynccontextmanager
async def admitted(
    state: ServerState,
    key: ApiKey,
    *,
    tokens: int = 0,
    expected: Usage | None = None,
    conversation: str = "",
) -> AsyncGenerator[Admission]:
    """Hold a request's place: its rate, its turn, its tokens and its cost, settled at the end.

    `expected` is the usage of the language model that its cost is reserved for.

    Raises:
        ApiError: The key is over its limit or its budget, or the server is full (429).
    """
    try:
        state.rates.reserve(key, tokens)
    except Exception:
        state.metrics.refused.labels(reason="rate").inc()
        raise
    admission = Admission()
    try:
        async with AsyncExitStack() as stack:
            charged = _charged(state, key, expected or Usage(), conversation)
            await stack.enter_async_context(charged)
            try:
                await stack.enter_async_context(state.queue.turn())
            except ApiError:
                state.metrics.refused.labels(reason="busy").inc()
                raise
            yield admission
    finally:
        used = tokens if admission.used is None else admission.used
        state.rates.settle(key, reserved=tokens, used=used)


@asynccontextmanager
async def _charged(
    state: ServerState, key: ApiKey, expected: Usage, conversation: str
) -> AsyncGenerator[None]:
    """Reserve the cost of a request, and settle it at the end."""
    llm, costs = state.rag.llm, state.costs
    usage, model = (Usage(), "") if llm is None else (expected, llm.model)
    if llm is not None and usage != Usage() and costs.has_prices:
        model = await model_name(llm)  # a server may not have said yet which one it serves
    try:
        charge = await costs.reserve_async(key, model=model, usage=usage, conversation=conversation)
    except ApiError:
        state.metrics.refused.labels(reason="budget").inc()
        raise
    try:
        yield
    finally:
        await costs.settle_async(charge, state.metrics.note_cost)


_BEARER = HTTPBearer(auto_error=False, description="A key made by `ragkit keys add`.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


def _reader(request: Request, credentials: _Credentials) -> ApiKey:
    return state_of(request).gate.identify(request.headers.get("authorization"), "read")


def _writer(request: Request, credentials: _Credentials) -> ApiKey:
    return state_of(request).gate.identify(request.headers.get("authorization"), "write")


def _admin(request: Request, credentials: _Credentials) -> ApiKey:
    return state_of(request).gate.identify(request.headers.get("authorization"), "admin")


State = Annotated[ServerState, Depends(state_of)]
Reader = Annotated[ApiKey, Depends(_reader)]
Writer = Annotated[ApiKey, Depends(_writer)]
Admin = Annotated[ApiKey, Depends(_admin)]
