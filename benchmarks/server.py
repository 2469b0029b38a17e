"""The HTTP server: searches against the SDK and Haystack's server, chat against vLLM alone.

    python -m benchmarks.server [--documents 500] [--queries 200] [--calls 40]

Both parts alternate the sides in one run. Haystack's server needs an environment of its own
(`make .venv-hayhooks`), the chat part the vLLM server of the tests (`make .venv-vllm`); each is
left out without it.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks import server_peer
from benchmarks.made import make
from benchmarks.report import Row, publish
from benchmarks.server_peer import Served
from ragkit import AsyncRAG
from ragkit.testing import vllm_server

SEARCH_NOTE = (
    "milliseconds of one search of 5 hits with the packaged embedder, by the number of clients: "
    "the SDK in this process, ragkit serve over HTTP, and Haystack's hybrid search behind Hayhooks "
    "over HTTP, with the same passages and weights; cpu ms: processor time of the process that "
    "searches"
)
CHAT_NOTE = (
    "milliseconds to the first text of 32 tokens, the model behind ragkit against the same vLLM "
    "server called directly"
)

Call = Callable[[int], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to search: its name, a call by the query's number, and the process that searches."""

    name: str
    call: Call
    process: psutil.Process

    @property
    def cpu_s(self) -> float:
        """Processor time of the process so far, in all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(folder: Path, **settings: str) -> Generator[Served]:
    """Run `ragkit serve` in a process of its own."""
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", "0", "--running", "64"]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r"http://\S+:\d+", first)
        if found is None:
            raise SystemExit(first + process.stderr.read())
        try:
            yield Served(url=found[0], pid=process.pid)
        finally:
            process.terminate()


async def timed(work: Awaitable[object]) -> float:
    """Return the milliseconds that an awaitable takes."""
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) * 1000


async def by_clients(call: Call, count: int, clients: int) -> tuple[list[float], float]:
    """Make calls by several clients at once; returns their milliseconds, and calls per second."""
    waiting = iter(range(count))

    async def client() -> list[float]:
        return [await call(number) for number in waiting]

    started = time.perf_counter()
    times = await asyncio.gather(*(client() for _ in range(clients)))
    return [one for own in times for one in own], count / (time.perf_counter() - started)


def row(name: str, side: str, times: list[float], per_second: float) -> dict[str, str | float]:
    """A row of the table."""
    p50, p95 = np.percentile(times, [50, 95])
    return {
        "what": name,
        "side": side,
        "p50": float(p50),
        "p95": float(p95),
        "calls/s": per_second,
    }


async def searches(folder: Path, documents: int, count: int) -> list[Row]:
    """Measure searches over HTTP and in process, on copies of one index."""
    made = make(documents * 10, queries=count)
    async with AsyncRAG(index=str(folder / "index")) as rag:
        texts = ["\n\n".join(made.texts[at : at + 10]) for at in range(0, documents * 10, 10)]
        await rag.ingest(((f"{number}.txt", text) for number, text in enumerate(texts)))
        passages = await server_peer.write_passages(rag, folder / "passages.jsonl")
    print(f"{passages} passages")
    # One process at a time holds the folder for long, so the server's is a copy.
    await asyncio.to_thread(shutil.copytree, folder / "index", folder / "copy")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(serving(folder, RAGKIT_INDEX__LOCATION=str(folder / "copy")))
        rag = await stack.enter_async_context(AsyncRAG(index=str(folder / "index")))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=120))

        async def inside(number: int) -> float:
            return await timed(rag.search(made.queries[number], k=5))

        def posting(url: str) -> Call:
            async def post(number: int) -> float:
                sent = {"query": made.queries[number], "k": 5}
                return await timed(http.post(url, json=sent))

            return post

        sides = [
            Side(name="SDK", call=inside, process=psutil.Process()),
            Side(
                name="HTTP",
                call=posting(f"{server.url}/v1/search"),
                process=psutil.Process(server.pid),
            ),
        ]
        if server_peer.ENVIRONMENT.exists():
            peer = stack.enter_context(server_peer.serving_peer(folder, folder / "passages.jsonl"))
            process = psutil.Process(peer.pid)
            sides.append(Side(name="Hayhooks", call=posting(peer.url), process=process))
        else:
            print("no Hayhooks: make .venv-hayhooks")
        return await compared(sides, count)


async def compared(sides: Sequence[Side], count: int) -> list[Row]:
    """Measure each side with one client and with eight."""
    rows: list[Row] = []
    for side in sides:
        await by_clients(side.call, 5, 1)
    for clients in (1, 8):
        for side in sides:
            before = side.cpu_s
            times, rate = await by_clients(side.call, count, clients)
            cpu_ms = (side.cpu_s - before) * 1000 / count
            name = f"search, {clients} clients"
            rows.append({**row(name, side.name, times, rate), "cpu ms": cpu_ms})
    return rows


async def first_text(http: httpx.AsyncClient, url: str, model: str, number: int) -> float:
    """Return the milliseconds to the first text of a streamed reply, which is read to its end."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"Say something about {number}."}],
        "max_tokens": 32,
        "stream": True,
        "temperature": 0.0,
    }
    started, first = time.perf_counter(), 0.0
    async with http.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as reply:
        async for line in reply.aiter_lines():
            if not first and re.search(r'"content":\s*"[^"]', line):
                first = (time.perf_counter() - started) * 1000
    return first


async def chats(folder: Path, count: int) -> list[Row]:
    """Measure the time to the first text, through ragkit and directly, in turns."""
    with vllm_server.serving(folder) as model:
        settings = {"RAGKIT_LLM__MODEL": f"vllm:{model.url}"}
        with serving(folder, **settings) as server:
            async with httpx.AsyncClient() as http:
                sides = {"vLLM": (model.url, model.model), "ragkit": (server.url, "llm")}
                times: dict[str, list[float]] = {side: [] for side in sides}
                for number in range(count + 3):
                    for side, (address, name) in sides.items():
                        found = await first_text(http, address, name, number)
                        if number >= 3:
                            times[side].append(found)
    return [
        row("chat, first text", side, found, 1000 / float(np.mean(found)))
        for side, found in times.items()
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--calls", type=int, default=40, help="of the chat part; 0 leaves it out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = asyncio.run(searches(Path(place), given.documents, given.queries))
        load = f"; load average of the machine: {os.getloadavg()[0]:.0f}"
        publish("server", rows, note=SEARCH_NOTE + load)
        if not given.calls:
            return
        if (reason := vllm_server.missing()) is None:
            publish("server_chat", asyncio.run(chats(Path(place), given.calls)), note=CHAT_NOTE)
        else:
            print(f"no chat: {reason}")


if __name__ == "__main__":
    main()
