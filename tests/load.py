"""Many clients on one server: streams that are left in the middle, and a model that dies.

    python tests/load.py [--clients 200] [--seconds 60]

Starts a real vLLM server (or, where there is none, one that imitates it), `ragkit serve` before it,
and clients of which every second leaves in the middle of its stream. Then the model is killed while
they go on. At the end nothing may be left: no running or waiting request, no connection to the
model, no more open files than before, and no more memory than once warm.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parents[1]))

from ragkit.testing import vllm_server
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)

GROWTH_MIB = 64
"""Memory that a server may gain after it is warm."""
KNOWN = {200, 429, 502, 503, 504}
"""Statuses that a client may get under load, and once the model is gone."""


@dataclass(slots=True, kw_only=True)
class LoadReport:
    """What clients saw, and what the server held before and after."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    figures: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def faults(self) -> list[str]:
        """What may not be."""
        found = [
            f"a client got {status}"
            for status in self.statuses
            if status.isdecimal() and int(status) not in KNOWN
        ]
        had = self.figures
        if had["running"] or had["waiting"]:
            found.append(f"{had['running']} requests run and {had['waiting']} wait at the end")
        if had["files after"] > had["files warm"] + 8:
            found.append(f"{had['files after']} open files, {had['files warm']} before")
        if had["MiB after"] > had["MiB warm"] + GROWTH_MIB:
            found.append(f"{had['MiB after']:.0f} MiB, {had['MiB warm']:.0f} before")
        if not self.statuses["200"]:
            found.append("no client got a reply")
        return found


def imitated(request: ServerRequest) -> ServerResponse:
    """A reply of a model server in pieces."""
    if request.path.endswith("/models"):
        return served_models("random", context=4096)
    return ServerResponse(events=chat_events(*("word " for _ in range(20))))


@asynccontextmanager
async def a_model(
    folder: Path, *, imitation: bool
) -> AsyncGenerator[tuple[str, Callable[[], Awaitable[None]]]]:
    """Run a model server; yields its URL, and what kills it."""
    if imitation:
        async with EmulatedModelServer(imitated) as server:

            async def abort() -> None:
                await server.__aexit__(None, None, None)

            yield server.url, abort
        return
    with vllm_server.serving(folder) as served:

        async def kill() -> None:
            assert served.process is not None
            os.killpg(served.process.pid, signal.SIGKILL)

        yield served.url, kill


async def load(
    *, clients: int, seconds: float, imitation: bool, seed: int = 0, running: int = 32
) -> LoadReport:
    """Put load on a server and report; see the module."""
    report = LoadReport()
    with tempfile.TemporaryDirectory() as place:
        async with a_model(Path(place), imitation=imitation) as (model, kill):
            command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", "0"]
            command += ["--running", str(running), "--waiting", str(clients)]
            environment = {**os.environ, "RAGKIT_LLM__MODEL": f"vllm:{model}"}
            log = (Path(place) / "server.log").open("w+")
            process = subprocess.Popen(command, cwd=place, env=environment, stderr=log)
            try:
                url = await started(process, log.name)
                await _clients(url, clients, seconds / 4, seed, report)
                await _idle(url)
                _measure(process.pid, "warm", report)
                await _clients(url, clients, seconds / 2, seed + 1, report)
                await kill()
                await _clients(url, clients, seconds / 4, seed + 2, report)
                report.figures |= await _idle(url)
                _measure(process.pid, "after", report)
            finally:
                process.terminate()
                process.wait()
                log.close()
    return report


async def started(process: "subprocess.Popen[bytes]", log: str) -> str:
    """Wait for a server to say in its log where it listens, and return its URL."""
    while process.poll() is None:
        if found := re.search(r"http://\S+:\d+", Path(log).read_text()):
            return found[0]
        await asyncio.sleep(0.05)
    raise SystemExit(Path(log).read_text())


async def _clients(url: str, count: int, seconds: float, seed: int, report: LoadReport) -> None:
    ends = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=count)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:

        async def client(number: int) -> None:
            draw = random.Random(seed * 100_000 + number)
            while time.monotonic() < ends:
                report.statuses[await _stream(http, leaves=draw.randrange(2) * draw.random())] += 1

        await asyncio.gather(*map(client, range(count)))


async def _stream(http: httpx.AsyncClient, *, leaves: float) -> str:
    """Read a stream, or a share of it; returns the status, or how it ended."""
    body = {
        "model": "llm",
        "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 24,
        "stream": True,
    }
    most = round(leaves * 24) if leaves else None
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            seen = 0
            async for line in reply.aiter_lines():
                if not line.startswith("data: "):
                    continue
                seen += 1
                if most is not None and seen >= most:
                    return "left"
                if '"error"' in line and "choices" not in json.loads(line[6:]):
                    return "error in the stream"
            if reply.status_code == 429:
                await asyncio.sleep(float(reply.headers["Retry-After"]) / 10)
            return str(reply.status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


async def _idle(url: str) -> dict[str, float]:
    """Wait up to a minute until the server has nothing to do, and return what it runs then."""
    ends = time.monotonic() + 60
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while True:
            text = (await http.get("/metrics")).text
            found = {
                name: float(re.findall(rf"^ragkit_{name} (\S+)", text, re.MULTILINE)[0])
                for name in ("running", "waiting")
            }
            if not any(found.values()) or time.monotonic() > ends:
                return found
            await asyncio.sleep(0.1)


def _measure(pid: int, when: str, report: LoadReport) -> None:
    process = psutil.Process(pid)
    report.figures[f"MiB {when}"] = process.memory_info().rss / 2**20
    report.figures[f"files {when}"] = process.num_fds()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    missing = vllm_server.missing()
    print(missing or "a real vLLM server on the CPU")
    report = asyncio.run(
        load(clients=given.clients, seconds=given.seconds, imitation=missing is not None)
    )
    print(dict(report.statuses), {name: round(value) for name, value in report.figures.items()})
    print("\n".join(report.faults) or "nothing is left")
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
