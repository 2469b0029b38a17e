"""The HTTP server: searches against the SDK in process, and chat against vLLM called directly.

    python -m benchmarks.server [--documents 500] [--queries 200] [--calls 40]

Both parts alternate the two sides in one run. The chat part needs the vLLM server of the tests
(`make .venv-vllm`) and is left out without it.
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
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.made import make
from benchmarks.report import Row, publish
from ragkit import AsyncRAG
from ragkit.testing import vllm_server

NOTE = (
    "search: milliseconds of one search of 5 hits with the packaged embedder, HTTP against the SDK "
    "in this process, by the number of clients; chat: milliseconds to the first text of 32 tokens, "
    "the model behind ragkit against the same vLLM server called directly"
)

Call = Callable[[int], Awaitable[float]]


@contextmanager
def serving(folder: Path, **settings: str) -> Generator[str]:
    """Run `ragkit serve` in a process of its own, and yield its URL."""
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
            yield found[0]
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


def row(name: str, side: str, times: list[float], per_second: float) -> Row:
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
    rows: list[Row] = []
    # One process at a time holds the folder for long, so the server's is a copy.
    await asyncio.to_thread(shutil.copytree, folder / "index", folder / "copy")
    with serving(folder, RAGKIT_INDEX__LOCATION=str(folder / "copy")) as url:
        async with AsyncRAG(index=str(folder / "index")) as rag, httpx.AsyncClient() as http:

            async def inside(number: int) -> float:
                return await timed(rag.search(made.queries[number], k=5))

            async def over_http(number: int) -> float:
                sent = {"query": made.queries[number], "k": 5}
                return await timed(http.post(f"{url}/v1/search", json=sent, timeout=60))

            await by_clients(inside, 5, 1)
            await by_clients(over_http, 5, 1)
            for clients in (1, 8):
                for side, call in (("SDK", inside), ("HTTP", over_http)):
                    times, rate = await by_clients(call, count, clients)
                    rows.append(row(f"search, {clients} clients", side, times, rate))
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
        with serving(folder, **settings) as url:
            async with httpx.AsyncClient() as http:
                sides = {"vLLM": (model.url, model.model), "ragkit": (url, "llm")}
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
    parser.add_argument("--calls", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = asyncio.run(searches(Path(place), given.documents, given.queries))
        if (reason := vllm_server.missing()) is None:
            rows += asyncio.run(chats(Path(place), given.calls))
        else:
            print(f"no chat: {reason}")
    publish("server", rows, note=NOTE)


if __name__ == "__main__":
    main()
