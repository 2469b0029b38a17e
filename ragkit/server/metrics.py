"""Prometheus metrics of the server."""

import time
import uuid

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit.core.operation import Operation

_TRACE_HEADERS = (b"traceparent", b"tracestate")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        """Register every metric."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ragkit_requests", "Requests.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "ragkit_request_seconds",
            "Seconds until the response began.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_text = Histogram(
            "ragkit_time_to_first_text_seconds",
            "Seconds until the first text of a reply.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "ragkit_tokens", "Tokens of replies.", ("model", "kind"), registry=self.registry
        )
        self.refused = Counter(
            "ragkit_refused", "Requests that were refused.", ("reason",), registry=self.registry
        )
        self.running = Gauge("ragkit_running", "Requests that run.", registry=self.registry)
        self.waiting = Gauge("ragkit_waiting", "Requests that wait.", registry=self.registry)
        self.documents = Counter(
            "ragkit_ingested_documents",
            "Documents of ingestion jobs.",
            ("outcome",),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class Observation:
    """ASGI middleware that counts and times requests, and gives each an id.

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
        started, identifier = time.perf_counter(), uuid.uuid4().hex
        operation = Operation(
            kind="request",
            facts={"method": scope["method"], "request_id": identifier},
            incoming=_trace_headers(scope),
        )

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unknown")
                status = str(message["status"])
                operation.name, operation.facts["status"] = route, message["status"]
                self._metrics.requests.labels(route=route, status=status).inc()
                self._metrics.seconds.labels(route=route).observe(time.perf_counter() - started)
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            await send(message)

        with operation:
            await self._app(scope, receive, counted)


def _trace_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _TRACE_HEADERS
    }
