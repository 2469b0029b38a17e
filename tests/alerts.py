"""Every alert of deploy/alerts.yml in its fault: a real Prometheus, a real server under load.

    python tests/alerts.py [--scale 40]

A real `ragkit serve` answers clients and takes uploads; its language model is emulated, and so are
the metrics of vLLM, whose states a server without a GPU does not reach at will, and the free room
of the disk. Each fault is made alone, after a time in which nothing may fire; then exactly its
alerts have to fire. The rules are those of the file, with all durations divided by the scale;
`promtool test rules tests/telemetry/alerts.test.yml` checks them with their own durations.
"""

import argparse
import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx
import yaml
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

sys.path.insert(0, str(Path(__file__).parents[1]))

from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)
from ragkit.testing.vllm_server import free_port
from tests.load import started

DEPLOY = Path(__file__).parents[1] / "deploy"
SLOTS, QUEUE = 2, 24
"""Requests that the server runs at once, and that wait."""
OBJECTIVE_S = 3.0
"""Seconds until the first text of a reply that goodput asks for."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RANGE = re.compile(r"(?<=\[)(\d+)([smh])(?=\])")
_OFFSET = re.compile(r"(?<=offset )(\d+)([smh])")
_TICK_S = 0.1
_SERVE = """
import shutil, sys
from pathlib import Path
from ragkit.cli.main import main
real = shutil.disk_usage
def emulated(place):
    found = real(place)
    return found._replace(free=int(found.total * float(Path("disk").read_text())))
shutil.disk_usage = emulated
main()
"""
"""The server, whose disk has the free share that the file `disk` says: a test fills no real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The speed of a run: durations of the rules are divided by `scale`.

    A range covers at least three scrapes, and an alert waits for at least five.
    """

    scale: float
    scrape_s: float

    def shortened(self, number: str, unit: str, *, least: int = 0) -> str:
        """Return a duration as Prometheus writes it, with at least so many scrapes."""
        seconds = max(int(number) * _SECONDS[unit] / self.scale, least * self.scrape_s)
        return f"{seconds * 1000:.0f}ms"

    def rules(self, text: str) -> dict[str, Any]:
        """Return the rules of a file with their durations divided."""
        read: dict[str, Any] = yaml.safe_load(text)
        for rule in (rule for group in read["groups"] for rule in group["rules"]):
            expression = _RANGE.sub(
                lambda found: self.shortened(found[1], found[2], least=3), rule["expr"]
            )
            rule["expr"] = _OFFSET.sub(lambda found: self.shortened(found[1], found[2]), expression)
            rule["for"] = self.shortened(rule["for"][:-1], rule["for"][-1], least=5)
        return read


class VLLMMetrics:
    """The metrics of a vLLM server that is always busy.

    Attributes:
        kv_cache: The share of the KV cache that is used.
        preempts: Requests are preempted.
        queue_grows: More and more requests wait.
        first_s: Seconds until the first token.
        target: The address that Prometheus scrapes.
    """

    def __init__(self) -> None:
        """Begin as a healthy server."""
        registry = CollectorRegistry()
        self.kv_cache, self.preempts, self.queue_grows, self.first_s = 0.5, False, False, 0.05
        self._kv = Gauge("vllm:kv_cache_usage_perc", "x", registry=registry)
        self._preemptions = Counter("vllm:num_preemptions", "x", registry=registry)
        self._waiting = Gauge("vllm:num_requests_waiting", "x", registry=registry)
        self._first, self._token = (
            Histogram(f"vllm:{name}_seconds", "x", buckets=(0.1, 1.0, 10.0), registry=registry)
            for name in ("time_to_first_token", "inter_token_latency")
        )
        self._registry = registry
        self.target = ""

    async def listen(self) -> asyncio.Server:
        """Serve the metrics on a free port of this machine, as text like vLLM's own."""
        server = await asyncio.start_server(self._show, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _show(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = generate_latest(self._registry)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        writer.close()

    async def live(self) -> None:
        """Serve requests for ever: many while they are fast, a few while they are slow."""
        while True:
            self._kv.set(self.kv_cache)
            self._preemptions.inc(self.preempts)
            self._waiting.inc(self.queue_grows)
            for _ in range(100 if self.first_s < 1 else 1):
                self._first.observe(self.first_s)
                self._token.observe(0.02)
            await asyncio.sleep(_TICK_S)


@dataclass(kw_only=True)
class WatchedSystem:
    """A server under load, vLLM's metrics, and the Prometheus that watches both.

    Attributes:
        http: A client of the server.
        prometheus: A client of Prometheus.
        process: The server.
        vllm: The metrics of vLLM.
        endpoint: What serves them.
        disk: The file with the free share of the disk.
        pace: How fast time passes for the rules.
        model: How the language model behaves.
    """

    http: httpx.AsyncClient
    prometheus: httpx.AsyncClient
    process: "subprocess.Popen[bytes]"
    vllm: VLLMMetrics
    endpoint: asyncio.Server
    disk: Path
    pace: Pace
    model: "_Model"

    async def values(self, query: str) -> dict[str, float]:
        """Return the values of a query of Prometheus by alert, or by nothing."""
        answer = await self.prometheus.get("/api/v1/query", params={"query": query})
        if not answer.is_success:  # while it starts
            return {}
        found: list[Any] = answer.json()["data"]["result"]
        return {one["metric"].get("alertname", ""): float(one["value"][1]) for one in found}

    async def fired(self) -> frozenset[str]:
        """Return the alerts that have fired so far."""
        query = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))'
        return frozenset(await self.values(query))

    async def chat(self) -> None:
        """Ask the model, and read the whole stream."""
        message = {"role": "user", "content": "Say something."}
        body = {"model": "llm", "messages": [message], "stream": True}
        await self._sent("/v1/chat/completions", json=body)

    async def search(self) -> None:
        """Search."""
        await self._sent("/v1/search", json={"query": "the longest river"})

    async def upload(self, name: str, content: bytes) -> None:
        """Upload a document, which is ingested in the background."""
        await self._sent("/v1/documents", files=[("files", (name, content))])

    async def _sent(self, path: str, **body: Any) -> None:  # as httpx has them
        with contextlib.suppress(httpx.TransportError):  # once the server is killed
            await self.http.post(path, **body)


@dataclass(slots=True)
class _Model:
    """The language model, which behaves as a fault says."""

    behaviour: Literal["replies", "fails", "hangs", "is slow"] = "replies"

    def respond(self, request: ServerRequest) -> ServerResponse:
        """Respond to a call of the server."""
        if request.path.endswith("/models"):
            return served_models("emulated", context=4096)
        if self.behaviour == "fails":
            return ServerResponse(status=500, body={"error": {"message": "out of memory"}})
        return ServerResponse(
            events=chat_events(*("word " for _ in range(8))),
            hangs=self.behaviour == "hangs",
            delay_s=1.5 * OBJECTIVE_S if self.behaviour == "is slow" else 0.0,
        )


Work: TypeAlias = Callable[[WatchedSystem], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, and the alerts that have to fire in it.

    Attributes:
        work: Makes the fault, and keeps it until it is cancelled.
    """

    name: str
    alerts: frozenset[str]
    work: Work


async def _ever(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        await work()
        await asyncio.sleep(pause_s)


def _model(behaviour: Literal["fails", "is slow"]) -> Work:
    async def work(system: WatchedSystem) -> None:
        system.model.behaviour = behaviour
        async with asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(_ever(system.chat, _TICK_S))

    return work


async def _model_hangs(system: WatchedSystem) -> None:
    """A client more every moment, and no reply."""
    system.model.behaviour = "hangs"
    try:
        async with asyncio.TaskGroup() as clients:
            while True:
                clients.create_task(system.chat())
                await asyncio.sleep(900 / system.pace.scale / QUEUE)
    finally:
        system.model.behaviour = "replies"


async def _documents_break(system: WatchedSystem) -> None:
    await _ever(lambda: system.upload("broken.pdf", b"%PDF-1.7 and nothing else"), 2 * _TICK_S)


async def _disk_fills(system: WatchedSystem) -> None:
    system.disk.write_text("0.05")


async def _server_dies(system: WatchedSystem) -> None:
    system.process.kill()


async def _vllm_dies(system: WatchedSystem) -> None:
    system.endpoint.close()


def _vllm(name: str, value: float | bool) -> Work:
    async def work(system: WatchedSystem) -> None:
        setattr(system.vllm, name, value)

    return work


def _fault(name: str, work: Work, *alerts: str) -> Fault:
    return Fault(name=name, alerts=frozenset(alerts), work=work)


FAILS = _fault(
    "the model fails", _model("fails"), "RagkitErrors", "RagkitBreakerOpen", "RagkitGoodputLow"
)
SLOW = _fault("the model is slow", _model("is slow"), "RagkitGoodputLow")
HANGS = _fault("the model hangs", _model_hangs, "RagkitRefusing", "RagkitQueueGrowing")
DOCUMENTS = _fault("documents are broken", _documents_break, "RagkitIngestionFailing")
DISK = _fault("the disk is full", _disk_fills, "RagkitDiskFull")
KILLED = _fault("the server is killed", _server_dies, "RagkitDown")
VLLM_KILLED = _fault("vLLM is killed", _vllm_dies, "VllmDown")
VLLM_STATES = (
    _fault("vLLM's KV cache is full", _vllm("kv_cache", 0.97), "VllmKVCacheFull"),
    _fault("vLLM preempts", _vllm("preempts", value=True), "VllmPreemptions"),
    _fault("vLLM's queue grows", _vllm("queue_grows", value=True), "VllmQueueGrowing"),
    _fault("vLLM's first tokens are late", _vllm("first_s", 5.0), "VllmFirstTokenRising"),
)
EACH_ALONE = (FAILS, SLOW, HANGS, DOCUMENTS, DISK, KILLED, VLLM_KILLED, *VLLM_STATES)
ALL_IN_A_ROW = ((*VLLM_STATES, DISK, HANGS), (FAILS, DOCUMENTS), (KILLED, VLLM_KILLED))


@asynccontextmanager
async def _process(
    command: Sequence[str], folder: Path, log: str, **environment: str
) -> AsyncGenerator["subprocess.Popen[bytes]"]:
    with (folder / log).open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stderr=output, stdout=output
        )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _configuration(pace: Pace, targets: dict[str, str]) -> dict[str, Any]:
    """The configuration of deploy/, for these targets."""
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    intervals = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    read["global"] = dict.fromkeys(intervals, f"{pace.scrape_s * 1000:.0f}ms")
    jobs = {one["job_name"]: one for one in read["scrape_configs"]}
    read["scrape_configs"] = [
        {**jobs[name], "static_configs": [{"targets": [target]}]}
        for name, target in targets.items()
    ]
    return read


@asynccontextmanager
async def _server(folder: Path, model: str) -> AsyncGenerator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", _SERVE, "serve", "--port", "0", "--data", "data"]
    async with _process(
        [*command, "--running", str(SLOTS), "--waiting", str(QUEUE)],
        folder,
        "server.log",
        PYTHONPATH=str(DEPLOY.parent),
        RAGKIT_LLM__MODEL=f"vllm:{model}",
        RAGKIT_LLM__BREAKER_FAILURES="3",
        RAGKIT_SLO__FIRST_TEXT_S=str(OBJECTIVE_S),
    ) as process:
        yield process


@asynccontextmanager
async def _prometheus(
    folder: Path, pace: Pace, targets: dict[str, str]
) -> AsyncGenerator[httpx.AsyncClient]:
    rules = pace.rules((DEPLOY / "alerts.yml").read_text())
    for name, content in (("alerts", rules), ("prometheus", _configuration(pace, targets))):
        (folder / f"{name}.yml").write_text(yaml.safe_dump(content))
    listening = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=metrics"]
    command += [f"--web.listen-address={listening}", "--log.level=warn"]
    transport = httpx.AsyncHTTPTransport(retries=10)  # while it starts
    async with (
        _process(command, folder, "prometheus.log"),
        httpx.AsyncClient(
            base_url=f"http://{listening}", transport=transport, timeout=60
        ) as client,
    ):
        yield client


@asynccontextmanager
async def watched(folder: Path, pace: Pace) -> AsyncGenerator[WatchedSystem]:
    """Run everything, under load."""
    disk = folder / "disk"
    disk.write_text("0.5")
    model, vllm = _Model(), VLLMMetrics()
    async with AsyncExitStack() as stack:
        endpoint = await vllm.listen()
        stack.callback(endpoint.close)
        llm = await stack.enter_async_context(EmulatedModelServer(model.respond))
        process = await stack.enter_async_context(_server(folder, llm.url))
        url = await started(process, str(folder / "server.log"))
        targets = {"ragkit": url.removeprefix("http://"), "vllm": vllm.target}
        system = WatchedSystem(
            http=await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60)),
            prometheus=await stack.enter_async_context(_prometheus(folder, pace, targets)),
            process=process,
            vllm=vllm,
            endpoint=endpoint,
            disk=disk,
            pace=pace,
            model=model,
        )
        async with asyncio.TaskGroup() as tasks:
            load = tasks.create_task(_load(system))
            yield system
            load.cancel()


async def _load(system: WatchedSystem) -> None:
    """Clients that search, ask the model and upload documents, in a healthy mixture."""
    river = b"# Rivers\n\nThe longest river of Europe is the Volga.\n"
    await asyncio.gather(
        system.vllm.live(),
        _ever(system.search, 2 * _TICK_S),
        _ever(system.chat, 2 * _TICK_S),
        *(system.upload(f"river-{number}.md", river) for number in range(3)),
    )


async def _healthy(system: WatchedSystem) -> frozenset[str]:
    """Wait until all scrapes of a while succeeded, and return the alerts that fire then."""
    window = f"{10 * system.pace.scrape_s * 1000:.0f}ms"
    healthy = (
        f"min(min_over_time(up[{window}])) == 1 and on() min(count_over_time(up[{window}])) > 3"
        f" and on() sum(rate(ragkit_requests_total[{window}])) > 0"
        ' and on() sum(ragkit_ingested_documents_total{outcome="added"}) == 3'
        f" and on() sum(increase(ragkit_slo_good_replies_total[{window}])) > 0"
    )
    while not await system.values(healthy):
        await asyncio.sleep(_TICK_S)
    return frozenset(await system.values('count by (alertname) (ALERTS{alertstate="firing"})'))


async def _until_fired(system: WatchedSystem, faults: Sequence[Fault]) -> None:
    """Make faults at the same time, until all their alerts have fired."""
    expected = frozenset[str]().union(*(fault.alerts for fault in faults))
    async with asyncio.TaskGroup() as tasks:
        works = [tasks.create_task(fault.work(system)) for fault in faults]
        while not expected <= await system.fired():
            await asyncio.sleep(_TICK_S)
        for work in works:
            work.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The alerts of a run.

    Attributes:
        healthy: Those that fired before the fault.
        fired: Those that fired in all.
        expected: Those that had to fire.
        seconds: From the first fault to the last alert.
    """

    healthy: frozenset[str]
    fired: frozenset[str]
    expected: frozenset[str] = field(default_factory=frozenset[str])
    seconds: float = 0.0


async def watch(folder: Path, pace: Pace, stages: Sequence[Sequence[Fault]]) -> Outcome:
    """Let a system be healthy, then make faults in stages, until every alert has fired."""
    async with watched(folder, pace) as system:
        healthy = await _healthy(system)
        began = time.monotonic()
        for faults in stages:
            await _until_fired(system, faults)
        return Outcome(
            healthy=healthy,
            fired=await system.fired(),
            expected=frozenset[str]().union(*(one.alerts for stage in stages for one in stage)),
            seconds=time.monotonic() - began,
        )


def main() -> None:
    """Make each fault alone and print the alerts that fired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=40)
    pace = Pace(scale=parser.parse_args().scale, scrape_s=1.5)
    failed = False
    for fault in EACH_ALONE:
        with tempfile.TemporaryDirectory() as place:
            found = asyncio.run(watch(Path(place), pace, [[fault]]))
        right = not found.healthy and found.fired == found.expected
        failed |= not right
        alerts = ", ".join(sorted(found.fired))
        print(
            f"{'ok' if right else 'WRONG'}: {fault.name}: {alerts} after {found.seconds:.0f} s; "
            f"{', '.join(found.healthy) or 'nothing'} before",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
