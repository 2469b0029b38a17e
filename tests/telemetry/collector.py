"""A collector that takes OTLP over HTTP on this machine, and does with it what a test asks for."""

import contextlib
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """The requests so far; `answer` is the status, or `echo`, `slow` or `drop`."""

    answer: str = "200"
    bodies: list[bytes] = field(default_factory=list[bytes])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])
    stop: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def spans(self) -> list[Span]:
        found: list[Span] = []
        for body in self.bodies:
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found.extend(scope.spans)
        return found

    def services(self) -> set[str]:
        found: set[str] = set()
        for body in self.bodies:
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            for one in request.resource_spans:
                found |= {
                    pair.value.string_value
                    for pair in one.resource.attributes
                    if pair.key == "service.name"
                }
        return found


@contextlib.contextmanager
def collecting(answer: str = "200") -> Generator[Collector]:
    collector = Collector(answer=answer)

    class Handler(BaseHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            collector.bodies.append(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.paths.append(self.path)
            if collector.answer == "slow":
                collector.stop.wait(20)
                return
            if collector.answer == "drop":
                self.connection.close()
                return
            echo = collector.answer == "echo"
            said = str(dict(self.headers)).encode() if echo else b""
            self.send_response(400 if echo else int(collector.answer))
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        collector.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
