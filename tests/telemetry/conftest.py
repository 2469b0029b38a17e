from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from ragkit.core.operation import add_observer, remove_observer
from ragkit.core.settings import TelemetrySettings
from ragkit.telemetry.light_span import LightTracer
from ragkit.telemetry.tracing import Tracing

Traced = Callable[..., "Spans"]


class Spans:
    """The spans that ended so far, with the tracing that makes them."""

    def __init__(self, tracing: Tracing, exporter: InMemorySpanExporter) -> None:
        self.tracing = tracing
        self._exporter = exporter

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        found = [span for span in self.all() if span.name == name]
        assert len(found) == 1, [span.name for span in self.all()]
        return found[0]

    def tree(self) -> list[str]:
        """The spans as a tree, each below its parent, in the order of their starts."""
        spans = sorted(self.all(), key=lambda span: span.start_time or 0)
        known = {_id(span) for span in spans}

        def below(parent: int | None, depth: int) -> Iterator[str]:
            for span in spans:
                own = span.parent.span_id if span.parent and span.parent.span_id in known else None
                if own == parent:
                    yield "  " * depth + span.name
                    yield from below(_id(span), depth + 1)

        return list(below(None, 0))

    def text(self) -> str:
        """Everything that is exported."""
        return "\n".join(span.to_json() for span in self.all())


def _tracer(kind: str, exporter: InMemorySpanExporter) -> LightTracer | Tracer:
    processor = SimpleSpanProcessor(exporter)
    if kind == "ragkit's spans":
        return LightTracer(processor, Resource({}))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("test")


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


@pytest.fixture(params=["ragkit's spans", "spans of the SDK"])
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """Turns traces on, with these settings, and returns their spans."""
    added: list[Tracing] = []

    def start(**settings: object) -> Spans:
        exporter = InMemorySpanExporter()
        chosen = TelemetrySettings.model_validate(settings)
        added.append(Tracing(_tracer(request.param, exporter), chosen))
        add_observer(added[-1])
        return Spans(added[-1], exporter)

    yield start
    for tracing in added:
        remove_observer(tracing)
