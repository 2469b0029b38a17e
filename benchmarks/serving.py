"""A model server under load, by ragkit's client and by OpenAI's, beside the plan for it.

    python -m benchmarks.serving                                  # a tiny model on this CPU
    python -m benchmarks.serving --gpu H100                       # 8B, random weights, on a GPU
    python -m benchmarks.serving --url URL --model FOLDER --gpu H100   # a server that runs already

Four tables: times, throughput and goodput at 1 to 64 clients; the cost of grammars per token;
prompts with a stable beginning, which the prefix cache has, against others; steps of agents per
second.
Without `--gpu` the plan is made for this processor, whose speed is measured.
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from openai import AsyncOpenAI

from benchmarks.agents_server import TOOLS
from benchmarks.llm import grammar_row
from benchmarks.report import Row, publish
from benchmarks.serving_load import LoadSums, Shape, ask_openai, ask_ragkit, load
from ragkit.agents import Budget, react, run
from ragkit.llm import VLLM
from ragkit.planning.architecture import read_architecture
from ragkit.planning.capacity import ServedReplica
from ragkit.planning.gpu import Gpu, find_gpu
from ragkit.planning.load import Load, Serving
from ragkit.planning.roofline import Replica
from ragkit.testing.vllm_server import missing, serving, write_model

EIGHT_BILLION = {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
"""The sizes of Qwen3-8B, put into the config.json of the tiny model."""
AT_FULL_SPEED = ("--load-format", "dummy", "--no-enforce-eager", "--enable-chunked-prefill")
STEPS = 2
ENDLESS = {"ignore_eos": True}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a vLLM server that runs already")
    parser.add_argument("--model", help="its config.json, folder or known name, for the plan")
    parser.add_argument("--gpu", help="the GPU that it runs on, as `ragkit plan` names it")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--requests", type=int, default=4, help="of each client")
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 8], help="at the same time")
    parser.add_argument("--words", type=int, default=128, help="of a prompt")
    parser.add_argument("--output", type=int, default=64, help="tokens of a reply")
    parser.add_argument("--ttft-ms", type=float, default=1000, help="objective of goodput")
    parser.add_argument("--tpot-ms", type=float, default=100, help="objective of goodput")
    return parser.parse_args()


def write_large_model(folder: Path) -> None:
    """Write the config.json and the tokenizer of an 8B model; vLLM makes its random weights."""
    write_model(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text()) | EIGHT_BILLION
    config.pop("layer_types", None)  # of as many layers as the tiny model has
    file.write_text(json.dumps(config))


def this_processor() -> Gpu:
    """Measure this processor: float32 products of matrices, and reading memory."""
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    flops = 2 * size**3 / min(_seconds(lambda: left @ left) for _ in range(5))
    large = np.ones(2**25, dtype=np.float32)
    bandwidth = large.nbytes / min(_seconds(large.sum) for _ in range(5))
    return Gpu(
        name="this CPU",
        memory=4 * 2**30,
        bandwidth=bandwidth,
        bf16=flops,
        eight_bit={},
        source="measured by numpy",
    )


def _seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


@contextmanager
def server(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Run the server unless one runs already; yields its URL and its model for the plan."""
    if given.url:
        if not given.model:
            raise SystemExit("--url needs --model, for the plan.")
        yield given.url, given.model
        return
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.gpu:
            write_large_model(folder / "model")
        with serving(folder, arguments=AT_FULL_SPEED if given.gpu else ()) as started:
            yield started.url, str(folder / "model")


def planned(model: str, gpu: Gpu, *, prompt: int, output: int, clients: int) -> Row:
    """Return what `ragkit plan` expects of a replica with so many sequences at all times."""
    replica = Replica(model=read_architecture(model), gpu=gpu, weights="bf16", cache="bf16")
    shape = Load(rate=1, prompt=prompt, output=output)
    point = ServedReplica(replica=replica, load=shape, serving=Serving()).at(clients)
    return {
        "plan ttft ms": 1000 * point.ttft_s,
        "plan tpot ms": 1000 * point.tpot_s,
        "plan tokens/s": point.rate * output,
    }


def load_row(name: str, clients: int, found: LoadSums, given: argparse.Namespace) -> Row:
    """Return the times, the throughput and the goodput of a load."""
    good = found.good(first_s=given.ttft_ms / 1000, token_s=given.tpot_ms / 1000)
    return {
        "clients": clients,
        "client": name,
        "ttft p50 ms": found.percentile("first_s", 50),
        "ttft p95 ms": found.percentile("first_s", 95),
        "tpot p50 ms": found.percentile("token_s", 50),
        "tokens/s": found.tokens_per_s,
        "good": good,
        "goodput/s": good * len(found.samples) / found.seconds,
    }


async def measure_load(
    url: str, model: str, gpu: Gpu, given: argparse.Namespace
) -> tuple[list[Row], list[Row]]:
    """Measure both clients in turn; returns the rows of loads and of prompts' beginnings."""
    shape = Shape(words=given.words, output=given.output)
    rows: list[Row] = []
    async with (
        VLLM(url, extra=ENDLESS) as llm,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        await llm.ready()
        name_on_server = await llm.model_name()
        asks = {
            "ragkit": ask_ragkit(llm, shape),
            "openai": ask_openai(client, name_on_server, shape),
        }
        base = int(np.random.default_rng().integers(2**31))  # a server keeps prompts of other runs
        for ask in asks.values():  # a warm server, and connections
            await load(ask, clients=4, requests=1, seed=base + 10**9)
        for place, number in enumerate(given.clients):
            for name, ask in asks.items():
                seed = base + 10_000 * (place + 1) + (name == "openai") * 10**7
                found = await load(ask, clients=number, requests=given.requests, seed=seed)
                prompt = round(float(np.mean([one.prompt for one in found.samples])))
                expected = planned(model, gpu, prompt=prompt, output=given.output, clients=number)
                rows.append({**load_row(name, number, found, given), **expected})
        prefixes: list[Row] = []
        for shared in (0, 8 * given.words - 16):
            beginning = Shape(words=8 * given.words, output=4, shared=shared)
            prefixes.append(await prefix_row(url, llm, beginning, seed=base + shared))
    return rows, prefixes


async def prefix_row(url: str, llm: VLLM, shape: Shape, *, seed: int) -> Row:
    """Measure prompts that begin alike or not, and the share that the prefix cache had."""
    ask = ask_ragkit(llm, shape)
    await load(ask, clients=1, requests=2, seed=seed + 10**8)
    before = await cached(url)
    found = await load(ask, clients=1, requests=8, seed=seed + 2 * 10**8)
    after = await cached(url)
    hits, queries = (later - earlier for later, earlier in zip(after, before, strict=True))
    return {
        "beginning": "stable" if shape.shared else "changing",
        "prompt tokens": found.samples[0].prompt,
        "ttft p50 ms": found.percentile("first_s", 50),
        "from the cache": hits / max(1.0, queries),
    }


async def cached(url: str) -> tuple[float, float]:
    """Return the tokens that the prefix cache had and was asked for, by vLLM's own metrics."""
    async with httpx.AsyncClient(timeout=60) as client:
        text = (await client.get(f"{url}/metrics")).text
    found = [
        sum(map(float, re.findall(rf"^vllm:prefix_cache_{name}_total\S* (\S+)", text, re.M)))
        for name in ("hits", "queries")
    ]
    return found[0], found[1]


async def agent_row(url: str, at_once: int) -> Row:
    """Measure the steps per second of agents that run at the same time."""
    async with VLLM(url) as llm:
        agent = react(llm, TOOLS, budget=Budget(steps=STEPS, tokens=12_000, seconds=600))
        questions = [f"What is {number} * 23?" for number in range(at_once)]
        await run(agent, "What is 1 + 1?")  # its grammars are built
        started = time.perf_counter()
        results = await asyncio.gather(*(run(agent, one) for one in questions))
        seconds = time.perf_counter() - started
    steps = sum(len(one.steps) for one in results)
    return {"agents": at_once, "steps": steps, "steps/s": steps / seconds}


async def measure(url: str, model: str, gpu: Gpu, given: argparse.Namespace) -> None:
    """Publish the four tables."""
    rows, prefixes = await measure_load(url, model, gpu, given)
    publish("serving_load", rows, note=_note(rows, given, gpu))
    publish("serving_prefix", prefixes, note="one client; the server's own count of cached tokens")
    async with VLLM(url) as llm, VLLM(url, extra={"min_tokens": 200}) as endless:
        grammars = [await grammar_row(llm, endless, number, 2) for number in (1, 8)]
    publish("serving_grammar", grammars, note="milliseconds per token of replies of about 200")
    agents = [await agent_row(url, number) for number in given.agents]
    publish("serving_agents", agents, note=f"ReAct with six tools and a budget of {STEPS} steps")


def _note(rows: Sequence[Row], given: argparse.Namespace, gpu: Gpu) -> str:
    return (
        f"{given.requests} requests of each client, prompts of {given.words} words, replies of "
        f"{given.output} tokens; good: {given.ttft_ms:g} ms to the first text and "
        f"{given.tpot_ms:g} ms per further token; plan: for {gpu.name}"
    )


def main() -> None:
    """Measure, print and write."""
    given = options()
    gpu = find_gpu(given.gpu) if given.gpu else this_processor()
    with server(given) as (url, model):
        asyncio.run(measure(url, model, gpu, given))


if __name__ == "__main__":
    main()
