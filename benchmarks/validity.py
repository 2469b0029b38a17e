"""Share of valid replies of a model with random weights on a real vLLM server, six ways.

Run: python -m benchmarks.validity [--schemas 200] [--seeds 5] [--max-tokens 1536] [--ways ragkit]

The ways: ragkit's grammars, wide and fitted only where a reply does not end; the same fitted
beforehand (`strict`); `response_format`; the same on a server with its option against white
space; `tool_choice: required`; free text that is parsed. Same schemas, seeds, prompt and
`max_tokens`. Valid is what the jsonschema library calls so; formats are not checked.
"""

import argparse
import asyncio
import functools
import gzip
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator, validators

from benchmarks.report import publish
from ragkit.core.errors import InputError, RagkitError
from ragkit.grammar import Grammar, json_grammar
from ragkit.llm import VLLM
from ragkit.testing.vllm_server import VLLMServer, missing, serving

FAMILIES = ("Github_trivial", "Github_easy", "Glaiveai2K", "Snowplow")
PROMPT = [{"role": "user", "content": "Give an example as JSON."}]
NO_WHITE_SPACE = (
    "--structured-outputs-config",
    '{"backend": "xgrammar", "disable_any_whitespace": true}',
)
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
AT_ONCE = 32

Schema = dict[str, Any]
Ask = Callable[[Schema, int], Awaitable[tuple[str, str, int, int]]]
"""Gives text, finish reason, tokens and calls for a schema and a seed."""


class RefusedError(Exception):
    """The schema was refused before anything was decoded."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """The counts of one way."""

    accepted: int = 0
    replies: int = 0
    valid: int = 0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    finish: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/json_schemas"))
    parser.add_argument("--schemas", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=1536)
    parser.add_argument("--ways", nargs="*", help="only these, by name")
    arguments = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    schemas = list(sample(arguments.data, arguments.schemas))
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(measure(Path(folder), schemas, arguments))
    rows = [row(way, figures, len(schemas)) for way, figures in results.items()]
    note = (
        f"{len(schemas)} schemas x {arguments.seeds} seeds, at most {arguments.max_tokens} tokens, "
        f"{AT_ONCE} calls at once"
    )
    publish("validity", rows, note=note)
    for way, figures in results.items():
        for problem in figures.problems[:5]:
            print(f"{way}: {problem}")


def sample(folder: Path, count: int) -> Iterator[Schema]:
    """Schemas of all families in equal parts, the same ones each time."""
    for family in FAMILIES:
        with gzip.open(folder / f"{family}.jsonl.gz", "rt") as lines:
            found = [json.loads(line)["schema"] for line in lines]
        yield from random.Random(7).sample(found, min(len(found), -(-count // len(FAMILIES))))


async def measure(
    folder: Path, schemas: Sequence[Schema], arguments: argparse.Namespace
) -> dict[str, Figures]:
    """All ways, one after the other, on one server and then on one with the option."""
    seeds, limit = arguments.seeds, arguments.max_tokens
    results: dict[str, Figures] = {}
    with serving(folder, arguments=TOOLS) as server:
        async with ways(server, limit) as asks:
            chosen = {way: ask for way, ask in asks.items() if way in (arguments.ways or asks)}
            for way, ask in chosen.items():
                results[way] = await count(schemas, seeds, ask)
                print(way, row(way, results[way], len(schemas)), flush=True)
    if arguments.ways:
        return results
    with serving(folder, arguments=NO_WHITE_SPACE) as server:
        async with ways(server, limit) as asks:
            results["response_format, no white space"] = await count(
                schemas, seeds, asks["response_format"]
            )
    return results


@asynccontextmanager
async def ways(server: VLLMServer, limit: int) -> AsyncIterator[dict[str, Ask]]:
    """The requests to a server."""
    llm = VLLM(server.url)
    grammars: dict[str, Grammar[Any] | None] = {}
    async with httpx.AsyncClient(base_url=server.url, timeout=600) as client:

        async def ragkit(
            schema: Schema, seed: int, *, strict: bool = False
        ) -> tuple[str, str, int, int]:
            key = json.dumps(schema)
            try:
                if key not in grammars:
                    grammars[key] = await asyncio.to_thread(json_grammar, schema)
                reply = await llm.complete(
                    PROMPT, grammar=grammars[key], seed=seed, temperature=1.0, max_tokens=limit,
                    strict=strict,
                )  # fmt: skip
            except InputError as error:
                raise RefusedError(str(error)) from error
            return reply.text, reply.finish_reason, reply.usage.completion, reply.calls

        async def plain(extra: dict[str, Any], seed: int) -> tuple[dict[str, Any], str, int]:
            body = {"model": server.model, "messages": PROMPT, "max_tokens": limit, **extra}
            response = await client.post(
                "/v1/chat/completions", json={**body, "seed": seed, "temperature": 1.0}
            )
            if response.status_code == 400:
                raise RefusedError(response.text)
            response.raise_for_status()
            choice = response.json()["choices"][0]
            tokens = response.json()["usage"]["completion_tokens"]
            return choice["message"], choice["finish_reason"], tokens

        async def response_format(schema: Schema, seed: int) -> tuple[str, str, int, int]:
            wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            message, finish, tokens = await plain({"response_format": wanted}, seed)
            return message["content"] or "", finish, tokens, 1

        async def tools(schema: Schema, seed: int) -> tuple[str, str, int, int]:
            function = {"name": "give", "description": "Gives it.", "parameters": schema}
            tool = {"type": "function", "function": function}
            message, finish, tokens = await plain(
                {"tools": [tool], "tool_choice": "required"}, seed
            )
            calls = message.get("tool_calls") or []
            return calls[0]["function"]["arguments"] if calls else "", finish, tokens, 1

        async def free(_: Schema, seed: int) -> tuple[str, str, int, int]:
            message, finish, tokens = await plain({}, seed)
            return message["content"] or "", finish, tokens, 1

        yield {
            "ragkit": ragkit,
            "ragkit strict": functools.partial(ragkit, strict=True),
            "response_format": response_format,
            "tool_choice required": tools,
            "free text": free,
        }
    await llm.close()


async def count(schemas: Sequence[Schema], seeds: int, ask: Ask) -> Figures:
    """Ask for every schema and seed."""
    figures, slots = Figures(), asyncio.Semaphore(AT_ONCE)

    async def one(schema: Schema) -> None:
        async with slots:
            for seed in range(seeds):
                try:
                    text, finish, tokens, calls = await ask(schema, seed)
                except RefusedError as refused:
                    figures.problems.append(f"refused: {refused!s:.300}")
                    return
                except (RagkitError, httpx.HTTPError) as error:
                    text, finish, tokens, calls = "", f"error {type(error).__name__}", 0, 0
                    figures.problems.append(f"{error!s:.300}")
                figures.replies += 1
                figures.tokens += tokens
                figures.calls += calls
                figures.finish[finish] += 1
                if why := invalid(schema, text):
                    figures.problems.append(f"{why:.200} in {text:.200}")
                else:
                    figures.valid += 1
            figures.accepted += 1

    started = time.perf_counter()
    await asyncio.gather(*(one(schema) for schema in schemas))
    figures.seconds = time.perf_counter() - started
    return figures


def invalid(schema: Schema, text: str) -> str:
    """Why the text is not an instance of the schema, or nothing."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}"
    kind = validators.validator_for(schema, default=Draft202012Validator)
    error = next(kind(schema).iter_errors(value), None)
    return "" if error is None else error.message


def row(way: str, figures: Figures, schemas: int) -> dict[str, str | int | float]:
    """A line of the table."""
    replies = max(figures.replies, 1)
    return {
        "way": way,
        "schemas accepted": figures.accepted / schemas,
        "valid": figures.valid / replies,
        "mean tokens": figures.tokens / replies,
        "mean calls": figures.calls / replies,
        "seconds": figures.seconds,
        "replies": figures.replies,
        "finish reasons": ", ".join(f"{k} {v}" for k, v in figures.finish.most_common()),
    }


if __name__ == "__main__":
    main()
