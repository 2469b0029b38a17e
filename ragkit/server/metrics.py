"""Prometheus metrics of the server."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder

from ragkit.core.operation import TracePlace
from ragkit.core.protocols import LLM
from ragkit.core.settings import SLOSettings
from ragkit.llm.call import LLMWrapper
from ragkit.llm.wrappers.circuit_breaker import CircuitBreaker
from ragkit.telemetry.metrics import TOKEN_SECONDS, OperationMetrics, exemplar, seconds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTimes:
    """The times of one reply, in seconds.

    Attributes:
        first_s: Until its first text; None where it had none.
        token_s: For each further token.
        total_s: Until its end.
    """

    first_s: float | None = None
    token_s: float | None = None
    total_s: float

    def meets(self, objectives: SLOSettings) -> bool:
        """Return whether every objective that is set is met."""
        pairs = (
            (self.first_s, objectives.first_text_s),
            (self.token_s, objectives.token_s),
            (self.total_s, objectives.reply_s),
        )
        return all(most is None or taken is None or taken <= most for taken, most in pairs)


class ReplyMetrics:
    """The times of replies, and the share of them that met every objective (goodput)."""

    def __init__(self, registry: CollectorRegistry, objectives: SLOSettings) -> None:
        """Register the metrics; replies are measured against these objectives."""
        self._objectives = objectives
        self._first_text = seconds_of(
            "model",
            "ragkit_time_to_first_text_seconds",
            "until the first text of a reply",
            registry,
        )
        self._token = seconds_of(
            "model",
            "ragkit_time_per_output_token_seconds",
            "for each further token of a reply",
            registry,
            buckets=TOKEN_SECONDS,
        )
        self._whole = seconds_of("model", "ragkit_reply_seconds", "until a reply ended", registry)
        self._measured = Counter(
            "ragkit_slo_replies",
            "Replies that are measured against the objectives (slo.*), failed ones included.",
            ("model",),
            registry=registry,
        )
        self._good = Counter(
            "ragkit_slo_good_replies",
            "Replies that met every objective that is set: goodput.",
            ("model",),
            registry=registry,
        )

    def ended(self, model: str, times: ReplyTimes, place: TracePlace | None) -> None:
        """Note the times of a reply that came to its end."""
        mark = exemplar(place)
        self._whole.labels(model=model).observe(times.total_s, mark)
        if times.first_s is not None:
            self._first_text.labels(model=model).observe(times.first_s, mark)
        if times.token_s is not None:
            self._token.labels(model=model).observe(times.token_s, mark)
        self._measured.labels(model=model).inc()
        self._good.labels(model=model).inc(times.meets(self._objectives))

    def failed(self, model: str) -> None:
        """Note a reply that failed: it meets no objective."""
        self._measured.labels(model=model).inc()
        self._good.labels(model=model).inc(0)


class Metrics:
    """The metrics of one application, in a registry of its own.

    Attributes:
        operations: Sees the operations of the process while the server runs.
        replies: The times of replies.
    """

    def __init__(self, objectives: SLOSettings | None = None) -> None:
        """Register every metric; replies are measured against these objectives."""
        self.registry = registry = CollectorRegistry()
        self.operations = OperationMetrics(registry)
        self.replies = ReplyMetrics(registry, objectives or SLOSettings())
        self.requests = Counter(
            "ragkit_requests", "Requests.", ("route", "status"), registry=registry
        )
        self.seconds = seconds_of(
            "route", "ragkit_request_seconds", "until the response began", registry
        )
        self.duration = seconds_of(
            "route", "ragkit_request_duration_seconds", "until the response ended", registry
        )
        self.tokens = Counter(
            "ragkit_tokens", "Tokens of replies.", ("model", "kind"), registry=registry
        )
        self.refused = Counter(
            "ragkit_refused", "Requests that were refused.", ("reason",), registry=registry
        )
        self.costs = Counter(
            "ragkit_cost",
            "Costs of model calls, in the currency of costs.prices.",
            ("model",),
            registry=registry,
        )
        self.running = Gauge("ragkit_running", "Requests that run.", registry=registry)
        self.waiting = Gauge("ragkit_waiting", "Requests that wait.", registry=registry)
        self._breakers = Gauge(
            "ragkit_breaker_open",
            "1 while a circuit breaker refuses calls of a model.",
            ("model",),
            registry=registry,
        )
        self._disk = Gauge(
            "ragkit_disk_bytes", "Bytes of the disk of a folder.", ("folder",), registry=registry
        )
        self._disk_free = Gauge(
            "ragkit_disk_free_bytes",
            "Bytes that are free on the disk of a folder.",
            ("folder",),
            registry=registry,
        )

    def note_breakers(self, llm: LLM | None) -> None:
        """Set the state of every circuit breaker around a model."""
        for breaker in _breakers(llm):
            self._breakers.labels(model=breaker.model).set(breaker.is_open)

    def note_disk(self, folder: str, place: Path) -> None:
        """Set the room of the disk that a folder is on; nothing where there is no such folder."""
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(place)
            self._disk.labels(folder=folder).set(usage.total)
            self._disk_free.labels(folder=folder).set(usage.free)

    def note_cost(self, model: str, cost: float) -> None:
        """Add the cost of a request's calls of a model."""
        self.costs.labels(model=model).inc(cost)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that a client accepts, and its content type.

        Exemplars are in OpenMetrics only (`application/openmetrics-text`).
        """
        try:
            encode, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, kind = choose_encoder("")
        return encode(self.registry), kind


def _breakers(llm: LLM | None) -> Iterator[CircuitBreaker]:
    while isinstance(llm, LLMWrapper):
        if isinstance(llm, CircuitBreaker):
            yield llm
        llm = llm.inner
