"""The overhead of traces: processor time of a search with and without them.

    python -m benchmarks.telemetry [--rounds 20]

Each search of the example corpus is made with and without traces, in turns. The spans are sent to a
collector by OTLP over HTTP, which runs in a process of its own.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from benchmarks.report import Row, publish
from ragkit import RAG, Settings
from ragkit.core.operation import add_observer, remove_observer
from ragkit.core.settings import TelemetrySettings
from ragkit.telemetry.light_span import LightTracer
from ragkit.telemetry.tracing import Tracing

EXAMPLES = Path(__file__).parents[1] / "examples"
_SEARCHES = 80
"""Searches of a round; their spans are sent at its end, in one batch."""
NOTE = (
    "milliseconds of processor time. search: a search of the example corpus with the packaged "
    "embedder, the median; spans_ms: what making its spans adds, the median of the differences of "
    "pairs, with ragkit's spans and those of OpenTelemetry's SDK; sending: their share of a batch "
    "that is sent by OTLP over HTTP"
)


class _Sink(BaseHTTPRequestHandler):
    """A collector that reads spans and forgets them."""

    def do_POST(self) -> None:
        """Take spans."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


def _collect(told: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    told.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


def _questions() -> list[str]:
    lines = (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    read: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [str(one["question"]) for one in read]


def _processor_ms(job: Callable[[], object]) -> float:
    started = time.process_time()
    job()
    return (time.process_time() - started) * 1000


def _tracer(spans: str, processor: SpanProcessor) -> LightTracer | Tracer:
    if spans == "ragkit":
        return LightTracer(processor, Resource({}))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("benchmark")


def measure(rounds: int, url: str, *, spans: str, content: bool) -> Row:
    """Compare each search with traces to the same one without, in turns."""
    settings = TelemetrySettings(content=content)
    questions = _questions()[:_SEARCHES]
    off: list[float] = []
    on: list[float] = []
    sent: list[float] = []
    with RAG(Settings(), index=":memory:") as rag:
        rag.ingest(EXAMPLES / "corpus")
        exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=600_000)
        tracing = Tracing(_tracer(spans, processor), settings)
        for number in range(rounds + 1):
            for place, question in enumerate(questions):
                for traced in (False, True) if (number + place) % 2 else (True, False):
                    if traced:
                        add_observer(tracing)
                    (on if traced else off).append(_processor_ms(partial(rag.search, question)))
                    remove_observer(tracing)
            sent.append(_processor_ms(processor.force_flush) / len(questions))
        processor.shutdown()  # type: ignore[no-untyped-call]
    skipped = len(questions)  # of the first round, which loads the model
    before, after = np.array(off[skipped:]), np.array(on[skipped:])
    making, sending = float(np.median(after - before)), float(np.median(sent[1:]))
    return {
        "spans": spans,
        "content": "recorded" if content else "left out",
        "searches": len(before),
        "search_ms": float(np.median(before)),
        "spans_ms": making,
        "sending_ms": sending,
        "overhead": (making + sending) / float(np.median(before)),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    here, there = multiprocessing.Pipe(duplex=False)
    collector = multiprocessing.Process(target=_collect, args=(there,), daemon=True)
    collector.start()
    url = here.recv()
    rows = [
        measure(rounds, url, spans=spans, content=content)
        for spans in ("ragkit", "the SDK")
        for content in (False, True)
    ]
    collector.terminate()
    publish("telemetry", rows, note=NOTE)


if __name__ == "__main__":
    main()
