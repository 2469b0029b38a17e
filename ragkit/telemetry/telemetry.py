"""Turning traces on and off for this process."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import cast

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from pydantic import BaseModel, SecretStr

import ragkit
from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.core.http_errors import is_server_url
from ragkit.core.operation import add_observer, remove_observer
from ragkit.core.secrets import Secrets, ServerAddress
from ragkit.core.settings import Settings, TelemetrySettings
from ragkit.telemetry.light_span import LightTracer
from ragkit.telemetry.tracing import Tracing

_PATH = "/v1/traces"


class Telemetry:
    """The traces of this process."""

    def __init__(self) -> None:
        """Begin without traces."""
        self._lock = threading.Lock()
        self._running: tuple[TelemetrySettings, Tracing, LightTracer | None] | None = None

    def start(self, settings: Settings) -> None:
        """Send traces as `settings.telemetry` says; nothing happens where that is so already.

        Raises:
            ConfigError: Traces are sent already, as other settings say, or the URL is none.
            MissingExtraError: The exporter is not installed.
        """
        wanted = settings.telemetry
        with self._lock:
            if self._running is None:
                own = None if wanted.export == "application" else _tracer(wanted)
                tracing = Tracing(own or trace.get_tracer("ragkit", ragkit.__version__), wanted)
                self._running = wanted, tracing, own
                add_observer(tracing)
            known, tracing, _ = self._running
            if known != wanted:
                raise ConfigError(
                    "Traces of this process are sent as other settings say. Fix: give every RAG of "
                    "a process the same settings of telemetry."
                )
            tracing.hide(Secrets.of(*_secrets_of(settings)))

    def stop(self) -> None:
        """Send what is left, and make no spans from now on; safe to call twice."""
        with self._lock:
            if self._running is None:
                return
            _, tracing, own = self._running
            self._running = None
            remove_observer(tracing)
        if own is not None:
            own.shutdown()


TELEMETRY = Telemetry()


def _tracer(settings: TelemetrySettings) -> LightTracer:
    resource = {"service.name": settings.service, "service.version": ragkit.__version__}
    processor = BatchSpanProcessor(_exporter(settings))
    return LightTracer(processor, Resource(resource), sample=settings.sample)


def _exporter(settings: TelemetrySettings) -> SpanExporter:
    if settings.export == "console":
        return ConsoleSpanExporter()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError as error:
        raise MissingExtraError("opentelemetry.exporter", extra="telemetry") from error
    key = settings.api_key.get_secret_value() if settings.api_key else None
    address = ServerAddress.parse(settings.endpoint, key)
    if not is_server_url(address.url):
        raise ConfigError(
            f"telemetry.endpoint is {address.url!r}. Fix: write the URL of a collector that takes "
            "OTLP over HTTP, such as 'http://127.0.0.1:4318'."
        )
    sent = f"Bearer {key}" if key else address.authorization
    return OTLPSpanExporter(
        endpoint=address.url.rstrip("/").removesuffix(_PATH) + _PATH,
        headers={"Authorization": sent} if sent else None,
        timeout=settings.timeout_s,
    )


def _secrets_of(section: BaseModel) -> Iterator[str]:
    """Yield every secret of the settings, passwords of URLs and of sections by name included."""
    for value in dict(section).values():
        if isinstance(value, Mapping):
            named = cast("Mapping[str, object]", value)
            yield from (
                secret
                for one in named.values()
                if isinstance(one, BaseModel)
                for secret in _secrets_of(one)
            )
        elif isinstance(value, BaseModel):
            yield from _secrets_of(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, str) and "://" in value:
            with contextlib.suppress(ConfigError):  # reported where the URL is used
                yield from ServerAddress.parse(value).secrets.values
