"""The cost of a grammar per token and of the client per call, on a real vLLM server.

Run: python -m benchmarks.llm [--repeats 3] [--url URL]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.report import publish
from ragkit.core.types import Reply
from ragkit.grammar import Grammar, json_grammar, regex_grammar
from ragkit.llm import VLLM
from ragkit.testing.vllm_server import missing, serving

PROMPT = [{"role": "user", "content": "Write something."}]
TOKENS = 200
AT_ONCE = (1, 8, 32)
CLIENTS = (1, 4, 16, 64)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--url", help="a server that runs already")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(measure(arguments.url, arguments.repeats))
        return
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        asyncio.run(measure(server.url, arguments.repeats))


async def measure(url: str, repeats: int) -> None:
    """Publish both tables."""
    async with VLLM(url) as llm, VLLM(url, extra={"min_tokens": TOKENS}) as endless:
        publish(
            "llm_grammar",
            [await grammar_row(llm, endless, at_once, repeats) for at_once in AT_ONCE],
            note=f"milliseconds of a reply by its tokens, about {TOKENS}; median of {repeats}",
        )
        publish(
            "llm_client",
            [await client_row(llm, url, clients, repeats) for clients in CLIENTS],
            note="calls of 16 tokens; bare: httpx that posts the same body and reads the lines",
        )


async def grammar_row(llm: VLLM, endless: VLLM, at_once: int, repeats: int) -> dict[str, float]:
    """Measure the time per token, free and under grammars that allow as many tokens."""
    kinds: dict[str, Grammar[Any] | None] = {
        "free": None,
        "pattern": regex_grammar("[a-z ]{700,900}"),
        "string": json_grammar({"type": "string", "minLength": 700, "maxLength": 900}),
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repeats + 1):  # the first time compiles
        for kind, grammar in kinds.items():
            replies = await asyncio.gather(*(reply(llm, grammar, seed) for seed in range(at_once)))
            each = (1000 * one.timings.total_s / one.usage.completion for one in replies)
            found[kind].append(median(each))
    times = {kind: median(values[1:]) for kind, values in found.items()}
    ratios = {f"{kind} / free": times[kind] / times["free"] for kind in ("pattern", "string")}
    return {"at once": at_once, **times, **ratios}


async def reply(llm: VLLM, grammar: Grammar[Any] | None, seed: int) -> Reply:
    """Request a long reply."""
    limit = TOKENS if grammar is None else None
    return await llm.complete(PROMPT, grammar=grammar, max_tokens=limit, seed=seed, temperature=1.0)


async def client_row(llm: VLLM, url: str, clients: int, repeats: int) -> dict[str, float]:
    """Measure calls per second and latency, of the client and of bare httpx in turn."""
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    rates: dict[str, list[float]] = {"bare": [], "VLLM": []}
    waits: dict[str, list[float]] = {"bare": [], "VLLM": []}
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:

        async def bare(seed: int) -> None:
            body = {
                "model": llm.model,
                "messages": PROMPT,
                "max_tokens": 16,
                "stream": True,
                "stream_options": {"include_usage": True},
                "seed": seed,
                "temperature": 1.0,
            }
            path = "/v1/chat/completions"
            async with client.stream("POST", path, json=body) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        json.loads(line[6:])

        async def ours(seed: int) -> None:
            await llm.complete(PROMPT, max_tokens=16, seed=seed, temperature=1.0)

        for _ in range(repeats + 1):
            for name, call in (("bare", bare), ("VLLM", ours)):
                rate, wait = await load(call, clients)
                rates[name].append(rate)
                waits[name].append(wait)
    bare_rate, our_rate = median(rates["bare"][1:]), median(rates["VLLM"][1:])
    bare_wait, our_wait = median(waits["bare"][1:]), median(waits["VLLM"][1:])
    return {
        "clients": clients,
        "bare calls/s": bare_rate,
        "VLLM calls/s": our_rate,
        "rate ratio": our_rate / bare_rate,
        "bare p50 ms": bare_wait,
        "VLLM p50 ms": our_wait,
        "added ms": our_wait - bare_wait,
    }


async def load(call: Callable[[int], Awaitable[None]], clients: int) -> tuple[float, float]:
    """Return calls per second and median milliseconds of clients that call four times or more."""
    waits: list[float] = []
    each = max(4, 32 // clients)

    async def client(place: int) -> None:
        for number in range(each):
            started = time.perf_counter()
            await call(each * place + number)
            waits.append(1000 * (time.perf_counter() - started))

    started = time.perf_counter()
    await asyncio.gather(*(client(place) for place in range(clients)))
    return clients * each / (time.perf_counter() - started), median(waits)


if __name__ == "__main__":
    main()
