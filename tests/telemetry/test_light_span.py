from collections.abc import Mapping

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from ragkit.core.operation import Operation, add_observer, remove_observer, trace_headers
from ragkit.core.settings import TelemetrySettings
from ragkit.telemetry.light_span import LightTracer
from ragkit.telemetry.tracing import Tracing
from tests.telemetry.conftest import Traced

_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def _spans_of_a_request(incoming: Mapping[str, str] | None, *, sample: float) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracer = LightTracer(SimpleSpanProcessor(exporter), Resource({}), sample=sample)
    tracing = Tracing(tracer, TelemetrySettings())
    add_observer(tracing)
    try:
        with Operation(kind="request", incoming=incoming), Operation(kind="search"):
            assert trace_headers()["traceparent"].startswith("00-")
    finally:
        remove_observer(tracing)
        tracer.shutdown()
    return list(exporter.get_finished_spans())


@pytest.mark.parametrize(("sample", "expected"), [(0.0, 0), (1.0, 2)])
def test_a_share_of_the_traces_is_recorded_whole(sample: float, expected: int) -> None:
    assert len(_spans_of_a_request(None, sample=sample)) == expected


@pytest.mark.parametrize(("sample", "flags", "expected"), [(0.0, "01", 2), (1.0, "00", 0)])
def test_a_client_decides_whether_its_trace_is_recorded(
    sample: float, flags: str, expected: int
) -> None:
    incoming = {"traceparent": f"00-{_TRACE}-{_PARENT}-{flags}", "tracestate": "vendor=1"}
    spans = _spans_of_a_request(incoming, sample=sample)
    assert len(spans) == expected
    for span in spans:
        context = _context(span)
        assert trace.format_trace_id(context.trace_id) == _TRACE
        assert context.trace_state.get("vendor") == "1"
        assert context.trace_flags.sampled


def test_about_half_of_the_traces_at_a_half() -> None:
    recorded = sum(bool(_spans_of_a_request(None, sample=0.5)) for _ in range(200))
    assert 50 < recorded < 150  # 7 standard deviations


def test_a_tool_adds_to_the_span_that_it_runs_in(traced: Traced) -> None:
    spans = traced()
    other = SpanContext(1, 2, is_remote=True)
    with Operation(kind="tool", name="refund"):
        current = trace.get_current_span()
        current.set_attribute("order", 12)
        current.set_attributes({"lines": [1, 2]})
        current.add_event("refunded", {"amount": 3})
        current.add_link(other, {"why": "batch"})
        current.set_status(Status(StatusCode.OK))
        current.set_status(StatusCode.ERROR, "too late")
    (span,) = spans.all()
    assert span.attributes is not None
    assert span.attributes["order"] == 12
    assert span.attributes["lines"] in ([1, 2], (1, 2))
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("refunded", {"amount": 3})
    ]
    assert [link.context for link in span.links] == [other]
    assert span.status.status_code is StatusCode.OK
    assert '"order": 12' in span.to_json()


def test_nothing_changes_a_span_that_has_ended(traced: Traced) -> None:
    spans = traced()
    with Operation(kind="tool", name="refund"):
        current = trace.get_current_span()
    before = spans.text()
    _change(current)
    assert spans.text() == before
    assert len(spans.all()) == 1


def test_an_exception_is_recorded_without_its_message() -> None:
    exporter = InMemorySpanExporter()
    span = LightTracer(SimpleSpanProcessor(exporter), Resource({})).start_span("x")
    span.record_exception(ValueError("MARK"))
    span.end()
    (found,) = exporter.get_finished_spans()
    assert "ValueError" in found.to_json()
    assert "MARK" not in found.to_json()


def _context(span: ReadableSpan) -> SpanContext:
    context = span.context
    assert isinstance(context, SpanContext)
    return context


def _change(span: Span) -> None:
    span.set_attribute("late", 1)
    span.add_event("late")
    span.add_link(SpanContext(1, 2, is_remote=True))
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.end()
