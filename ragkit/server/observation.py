"""ASGI middleware around every request: its id, its trace, its metrics and its line in the log."""

import logging
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit.core.operation import Operation, request_id
from ragkit.server.costs import RequestAccount, running_account
from ragkit.server.metrics import Metrics
from ragkit.telemetry.metrics import exemplar

_log = logging.getLogger("ragkit.server.requests")
_TRACE_HEADERS = (b"traceparent", b"tracestate")
_UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observation:
    """Counts and times requests, gives each an id, and writes one line for each.

    Requests are labelled by their route, not by their path, which clients choose.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Observe the requests of `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = uuid.uuid4().hex
        operation = Operation(
            kind="request",
            name=_UNKNOWN,
            facts={"method": _method(scope), "request_id": identifier},
            incoming=_trace_headers(scope),
        )
        started = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                operation.name = getattr(scope.get("route"), "path", _UNKNOWN)
                operation.facts["status"] = message["status"]
                self._begun(operation, time.perf_counter() - started)
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            await send(message)

        token = request_id.set(identifier)
        account = running_account.set(RequestAccount())
        try:
            with operation:
                await self._app(scope, receive, counted)
        finally:
            self._ended(operation)
            request_id.reset(token)
            running_account.reset(account)

    def _begun(self, operation: Operation, seconds: float) -> None:
        """Count a request whose response begins."""
        route, status = operation.name, str(operation.facts["status"])
        self._metrics.requests.labels(route=route, status=status).inc()
        self._metrics.seconds.labels(route=route).observe(seconds, exemplar(operation.place))

    def _ended(self, operation: Operation) -> None:
        """Time a request that is over, and write its line."""
        route, seconds, place = operation.name, operation.seconds, operation.place
        self._metrics.duration.labels(route=route).observe(seconds, exemplar(place))
        _log.info(
            "request",
            extra={
                "method": operation.facts["method"],
                "route": route,
                "status": operation.facts.get("status", 0),
                "seconds": round(seconds, 6),
                **({} if place is None else {"trace_id": place.trace, "span_id": place.span}),
            },
        )


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _trace_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _TRACE_HEADERS
    }
