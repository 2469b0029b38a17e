"""Cost of a grammar before its first token: build, fit and compilation, apart.

python -m benchmarks.grammar_compile

Real schemas, then large choices and many tools. The compilation is measured with a vocabulary of
32,768 tokens (a byte-level BPE) in one process, as a server has it: the first grammar
pays for the token masks of free text, which later ones share.
"""

import argparse
import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.grammar_coverage import FAMILIES, rows
from benchmarks.grammar_vocabulary import pieces
from benchmarks.report import Row, publish
from ragkit.core.errors import InputError
from ragkit.grammar import (
    Grammar,
    ToolSpec,
    action_grammar,
    choice_grammar,
    json_grammar,
    plan_grammar,
)
from ragkit.grammar.random_decoding import RandomDecoder

CONTEXT = 4096


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=20, help="take every n-th schema")
    options = parser.parse_args()
    decoder = RandomDecoder(pieces(options.data))
    first, _ = _timed(lambda: decoder.compile(json_grammar({"type": "string"})))
    schemas = [row["schema"] for family, row in rows(options.data / "json_schemas", options.every)
               if family in FAMILIES]  # fmt: skip
    table = [_of_schemas(schemas, decoder), *_large(decoder, pieces(options.data))]
    note = f"Milliseconds of processor time; the first free string of the process: {first:.0f}."
    publish("grammar_compile", table, note=note)


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = job()
    return 1e3 * (time.process_time() - started), found


def _of_schemas(schemas: list[Any], decoder: RandomDecoder) -> Row:
    columns = ("build", "wide", "fit", "compile", "bounded")
    times: dict[str, list[float]] = {name: [] for name in columns}
    for schema in schemas:
        try:
            build, grammar = _timed(lambda schema=schema: json_grammar(schema))
        except InputError:
            continue
        fit, _ = _timed(lambda grammar=grammar: _fitted(grammar))
        wide, _ = _timed(grammar.wide)
        compiled, _ = _timed(lambda grammar=grammar: decoder.compile(grammar.wide()))
        bounded, _ = _timed(lambda grammar=grammar: decoder.compile(grammar))
        spent = {"build": build, "wide": wide, "fit": fit, "compile": compiled, "bounded": bounded}
        for name, value in spent.items():
            times[name].append(value)
    return {
        "what": f"{len(times['build'])} real schemas",
        **{
            f"{name} p{share}": _quantile(values, share)
            for name, values in times.items()
            for share in (50, 99)
        },
    }


def _fitted(grammar: Grammar[Any]) -> Grammar[Any] | None:
    with contextlib.suppress(InputError):  # 200 tools five times do not fit
        return grammar.fit(CONTEXT)
    return None


def _quantile(values: list[float], share: int) -> float:
    return round(sorted(values)[share * (len(values) - 1) // 100], 1)


def _large(decoder: RandomDecoder, vocabulary: list[bytes]) -> list[Row]:
    chance = random.Random(1)
    words = [piece.decode().strip() for piece in vocabulary if piece.strip().isalpha()]
    texts = {" ".join(chance.choices(words, k=chance.randint(1, 4))) for _ in range(10_200)}
    choices, tools = sorted(texts)[:10_000], [_tool(number, chance, words) for number in range(200)]
    jobs: dict[str, Callable[[], Grammar[Any]]] = {
        "10,000 choices": lambda: choice_grammar(choices),
        "an enum of 10,000": lambda: json_grammar({"enum": choices}),
        "200 tools, action": lambda: action_grammar(tools),
        "200 tools, plan of 5": lambda: plan_grammar(tools, 5),
    }
    return [_one(what, job, decoder) for what, job in jobs.items()]


def _one(what: str, job: Callable[[], Grammar[Any]], decoder: RandomDecoder) -> Row:
    build, grammar = _timed(job)
    fit, _ = _timed(lambda: _fitted(grammar))
    wide, _ = _timed(grammar.wide)
    compiled, _ = _timed(lambda: decoder.compile(grammar.wide()))
    bounded, _ = _timed(lambda: decoder.compile(grammar))
    spent = {"build": build, "wide": wide, "fit": fit, "compile": compiled, "bounded": bounded}
    return {
        "what": what,
        **{f"{k} p{s}": round(v, 1) for k, v in spent.items() for s in (50, 99)},
    }


def _tool(number: int, chance: random.Random, words: list[str]) -> ToolSpec:
    properties = {
        "query": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 40}},
        "when": {"type": "string", "format": "date"},
        chance.choice(words): {"type": "string", "enum": ["fast", "slow", "auto"]},
        chance.choice(words): {"type": "number"},
    }
    name = f"{chance.choice(words)}_{number}"
    parameters = {"type": "object", "properties": properties, "required": ["query"]}
    return ToolSpec(name=name, description="", parameters=parameters)


if __name__ == "__main__":
    main()
