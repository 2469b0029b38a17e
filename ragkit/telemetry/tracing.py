"""`Tracing`: operations as spans of OpenTelemetry."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ragkit.core.operation import Observer, Operation, TracePlace, error_kind
from ragkit.core.secrets import NO_SECRETS, Secrets, without_credentials
from ragkit.core.settings import TelemetrySettings
from ragkit.telemetry.content import genai_content, openinference_content, shortened
from ragkit.telemetry.light_span import LightTracer
from ragkit.telemetry.names import ERROR, FACTS, OPERATION, names_of, span_name

_SERVER_ERROR = 500
_PROPAGATOR = TraceContextTextMapPropagator()
_SPANS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}


class Tracing(Observer):
    """Makes a span of every operation, below the span of the code that began it.

    Attributes:
        secrets: Values that no span shows, whatever text they stand in.
    """

    def __init__(self, tracer: LightTracer | trace.Tracer, settings: TelemetrySettings) -> None:
        """Make spans with a tracer, as the settings say."""
        self._tracer = tracer
        self._settings = settings
        self._genai = settings.names != "openinference"
        self._openinference = settings.names != "genai"
        self.secrets = NO_SECRETS

    def began(self, operation: Operation) -> None:
        """Start the span; a request's is below that of the client which sent it."""
        known = names_of(operation)
        parent = None
        if operation.incoming is not None:
            # Not from the running context: a request is a trace of its own, or its client's.
            parent = _PROPAGATOR.extract(operation.incoming, context=context.Context())
        attributes: dict[str, str] = {}
        if self._genai and known.operation:
            attributes[OPERATION.genai] = known.operation
        if self._openinference:
            attributes[OPERATION.openinference] = known.openinference
        span = self._tracer.start_span(
            span_name(operation), context=parent, kind=_SPANS[known.span], attributes=attributes
        )
        operation.held[self] = [span, None, operation.name]
        if span.is_recording():
            operation.place = _place(span)

    def resumed(self, operation: Operation) -> None:
        """Make the span the current one."""
        held = operation.held[self]
        held[1] = context.attach(trace.set_span_in_context(held[0]))

    def paused(self, operation: Operation) -> None:
        """Make the span before it the current one again."""
        held = operation.held[self]
        context.detach(held[1])

    def ended(self, operation: Operation) -> None:
        """Set the attributes and end the span."""
        held = operation.held.pop(self)
        span: Span = held[0]
        if span.is_recording():
            if operation.name != held[2]:
                span.update_name(span_name(operation))
            span.set_attributes(self._facts(operation))
            if self._settings.content:
                span.set_attributes(self._content(operation))
            self._set_status(span, operation)
        span.end()

    def place(self) -> TracePlace | None:
        """Return the place of the current span, None where it is not recorded."""
        span = trace.get_current_span()
        return _place(span) if span.get_span_context().trace_flags.sampled else None

    def headers(self) -> Mapping[str, str]:
        """Return `traceparent`, and `tracestate` where there is one (W3C Trace Context)."""
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers)
        return headers

    def _facts(self, operation: Operation) -> dict[str, Any]:  # the values of OpenTelemetry
        facts: dict[str, Any] = dict(operation.facts)
        if operation.name:
            facts[names_of(operation).name] = operation.name
        found: dict[str, Any] = {}
        for fact, value in facts.items():
            name = FACTS[fact]
            if self._genai:
                found[name.genai] = (value,) if fact == "finish_reason" else value
            if self._openinference and name.openinference:
                found[name.openinference] = value
        return found

    def _content(self, operation: Operation) -> dict[str, str | float]:
        found: dict[str, str | float] = {}
        for name, made in operation.content.items():
            value = shortened(made(), self._hidden, characters=self._settings.content_chars)
            if self._genai:
                found.update(genai_content(name, value))
            if self._openinference:
                found.update(openinference_content(name, value))
        return found

    def _set_status(self, span: Span, operation: Operation) -> None:
        """Set the kind of a failure; an error's message may hold texts, and needs `content`."""
        error, status = operation.error, operation.facts.get("status", 0)
        if error is not None:
            span.set_attribute(ERROR, error_kind(error))
            said = self._hidden(str(error))[: self._settings.content_chars]
            span.set_status(Status(StatusCode.ERROR, said if self._settings.content else None))
        elif operation.facts.get("failed"):
            span.set_status(Status(StatusCode.ERROR))
        elif isinstance(status, int) and status >= _SERVER_ERROR:
            span.set_attribute(ERROR, str(status))
            span.set_status(Status(StatusCode.ERROR))

    def _hidden(self, text: str) -> str:
        return without_credentials(self.secrets.hidden(text))

    def hide(self, secrets: Secrets) -> None:
        """Hide further secrets from now on."""
        every = {*self.secrets.values, *secrets.values}
        # Longest first, since one may begin as another does.
        self.secrets = Secrets(tuple(sorted(every, key=len, reverse=True)))


def _place(span: Span) -> TracePlace:
    found = span.get_span_context()
    return TracePlace(trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id))
