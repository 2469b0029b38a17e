"""`OperationMetrics`: the operations of this process as metrics of Prometheus."""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from ragkit.core.operation import Fact, Kind, Observer, Operation, TracePlace, error_kind

SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
)  # fmt: skip
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2.5)
OTHER = "other"
MOST_VALUES = 100
"""Values of a label that others choose, such as names of tools; further ones are `other`."""

_TIMES: Mapping[Kind, tuple[str, str, tuple[str, ...]]] = {
    "answer": ("ragkit_answer_seconds", "Seconds of answers.", ()),
    "search": ("ragkit_search_seconds", "Seconds of searches.", ()),
    "search stage": ("ragkit_search_stage_seconds", "Seconds of a stage of searches.", ("stage",)),
    "model call": ("ragkit_model_call_seconds", "Seconds of model calls.", ("model",)),
    "pooling call": (
        "ragkit_pooling_call_seconds",
        "Seconds of calls of embedding and reranking servers.",
        ("model",),
    ),
    "grammar": ("ragkit_grammar_seconds", "Seconds of building grammars.", ("stage",)),
    "agent": ("ragkit_agent_run_seconds", "Seconds of runs of agents.", ("agent",)),
    "tool": ("ragkit_tool_seconds", "Seconds of tool calls.", ("tool",)),
    "ingestion": ("ragkit_ingestion_seconds", "Seconds of ingestions.", ()),
    "ingestion stage": (
        "ragkit_ingestion_stage_seconds",
        "Seconds of a stage of ingestions.",
        ("stage",),
    ),
}
"""The histogram of each kind of operations: its name, its description and its label."""
_OUTCOMES = ("added", "updated", "unchanged", "deleted")


class BoundedLabel:
    """The values of a label that others choose: the first hundred, and `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        """Begin without values."""
        self._known: set[str] = set()
        self._most = most

    def of(self, value: str) -> str:
        """Return the value, or `other` where there are too many."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


def seconds_of(
    label: str,
    name: str,
    said: str,
    registry: CollectorRegistry,
    *,
    buckets: Sequence[float] = SECONDS,
) -> Histogram:
    """Register the histogram of a time in seconds, by one label."""
    return Histogram(name, f"Seconds {said}.", (label,), buckets=buckets, registry=registry)


def exemplar(place: TracePlace | None) -> dict[str, str] | None:
    """Return the exemplar that links an observation to its trace, None where it is not traced."""
    return None if place is None else {"trace_id": place.trace, "span_id": place.span}


class OperationMetrics(Observer):
    """Counts and times searches, model calls, grammars, tools, agents and ingestions.

    Give it to `ragkit.core.operation.add_observer`. In the format of OpenMetrics its histograms
    have exemplars, which link an observation to its trace.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register every metric."""
        self._seconds = {
            kind: Histogram(name, said, labels, buckets=SECONDS, registry=registry)
            for kind, (name, said, labels) in _TIMES.items()
        }
        self._failures = Counter(
            "ragkit_failures", "Operations that failed.", ("kind", "error"), registry=registry
        )
        self._first_token = seconds_of(
            "model",
            "ragkit_model_first_token_seconds",
            "until the first token of a model call",
            registry,
        )
        self._token = seconds_of(
            "model",
            "ragkit_model_token_seconds",
            "for each further token of a model call",
            registry,
            buckets=TOKEN_SECONDS,
        )
        self._tokens = Counter(
            "ragkit_model_tokens", "Tokens of model calls.", ("model", "kind"), registry=registry
        )
        self._cache_hits = Counter(
            "ragkit_reply_cache_hits", "Replies from the cache.", ("model",), registry=registry
        )
        self._runs = Counter(
            "ragkit_agent_runs", "Runs of agents.", ("agent", "stopped_by"), registry=registry
        )
        self._documents = Counter(
            "ragkit_ingested_documents",
            "Documents of ingestions.",
            ("outcome",),
            registry=registry,
        )
        self._chunks = Counter(
            "ragkit_ingested_chunks", "Chunks that were stored.", registry=registry
        )
        # A counter that first appears at 1 has not increased, as Prometheus sees it.
        for outcome in (*_OUTCOMES, "failed"):
            self._documents.labels(outcome=outcome)
        self._failed_runs = Counter(
            "ragkit_failed_ingestions", "Ingestions that failed.", registry=registry
        )
        self._values = {kind: BoundedLabel() for kind in _TIMES}
        self._errors = BoundedLabel()
        self._special: Mapping[Kind, Callable[[Operation, str], None]] = {
            "model call": self._model_call,
            "pooling call": self._pooling_call,
            "agent": self._agent,
            "ingestion": self._ingestion,
            "ingestion stage": self._failed_documents,
        }

    def ended(self, operation: Operation) -> None:
        """Count and time an operation."""
        kind = operation.kind
        if kind not in self._seconds or operation.facts.get("dry_run"):
            return
        name = self._values[kind].of(operation.name)
        if operation.error is not None or operation.facts.get("failed"):
            error = "failed" if operation.error is None else error_kind(operation.error)
            self._failures.labels(kind=kind, error=self._errors.of(error)).inc()
        if operation.facts.get("cache_hit"):
            self._cache_hits.labels(model=name).inc()
            return
        times = self._seconds[kind]
        labelled = times.labels(name) if _TIMES[kind][2] else times
        labelled.observe(operation.seconds, exemplar(operation.place))
        if kind in self._special:
            self._special[kind](operation, name)

    def _model_call(self, call: Operation, model: str) -> None:
        facts, place = call.facts, exemplar(call.place)
        for kind in ("prompt", "cached", "completion"):
            tokens = _number(facts.get(f"{kind}_tokens"))
            self._tokens.labels(model=model, kind=kind).inc(tokens)
        if "first_token_s" in facts:
            first = _number(facts["first_token_s"])
            self._first_token.labels(model=model).observe(first, place)
        if "token_s" in facts:
            self._token.labels(model=model).observe(_number(facts["token_s"]), place)

    def _pooling_call(self, call: Operation, model: str) -> None:
        tokens = _number(call.facts.get("prompt_tokens"))
        self._tokens.labels(model=model, kind="prompt").inc(tokens)

    def _agent(self, run: Operation, agent: str) -> None:
        if "stopped_by" in run.facts:
            self._runs.labels(agent=agent, stopped_by=str(run.facts["stopped_by"])).inc()

    def _ingestion(self, run: Operation, _: str) -> None:
        for outcome in _OUTCOMES:
            self._documents.labels(outcome=outcome).inc(_number(run.facts.get(outcome)))
        if run.error is not None or run.facts.get("failed"):
            self._failed_runs.inc()
        self._failed_documents(run)
        self._chunks.inc(_number(run.facts.get("chunks")))

    def _failed_documents(self, operation: Operation, _: str = "") -> None:
        failed = _number(operation.facts.get("failed_documents"))
        self._documents.labels(outcome="failed").inc(failed)


def _number(fact: Fact | None) -> float:
    return float(fact) if isinstance(fact, int | float) else 0.0
