"""How many real schemas the grammar compiler accepts, and how exactly it decodes them.

Run: python benchmarks/grammar_coverage.py --data ../shared/data [--every N] [--random-decode N]
"""

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, validators

from ragkit.core.errors import InputError
from ragkit.llm.grammar import Grammar, Limits, json_grammar
from ragkit.llm.grammar.branches import Expander, Node
from ragkit.llm.grammar.check import Checker
from ragkit.llm.grammar.formats import FORMATS
from ragkit.llm.grammar.objects import object_shape
from ragkit.llm.grammar.sampling import RandomDecoder
from ragkit.llm.grammar.source import Source
from ragkit.llm.grammar.text import json_text

FAMILIES = ("Github_trivial", "Github_easy", "Glaiveai2K", "Snowplow")
RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True, kw_only=True)
class Figures:
    """What was counted for one family."""

    schemas: int = 0
    accepted: int = 0
    only_checked: int = 0
    valid: int = 0
    valid_accepted: int = 0
    invalid: int = 0
    invalid_rejected: int = 0
    invalid_caught: int = 0
    decoded: int = 0
    decoded_valid: int = 0
    build_ms: list[float] = field(default_factory=list[float])
    compile_ms: list[float] = field(default_factory=list[float])
    refusals: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])


def main() -> None:
    """Measure, print a table and write JSON."""
    arguments = _arguments()
    limits = Limits(undeclared=arguments.undeclared)
    decoder = RandomDecoder()
    results = {
        family: _measure(_rows(arguments.data / "json_schemas", family, arguments.every), arguments, limits, decoder)
        for family in FAMILIES
    }
    results["all"] = _sum(list(results.values()))
    _print(results)
    calls = _function_calls(arguments.data / "function_calling", arguments.every, decoder)
    print("function calls accepted:", calls)
    RESULTS.mkdir(exist_ok=True)
    report = {"families": {name: _summary(figures) for name, figures in results.items()}, "function_calls": calls}
    arguments.out.write_text(json.dumps(report, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th schema")
    parser.add_argument("--random-decode", type=int, default=0, help="random replies per schema")
    parser.add_argument("--undeclared", type=int, default=0, help="Limits.undeclared")
    parser.add_argument("--out", type=Path, default=RESULTS / "grammar_coverage.json")
    return parser.parse_args()


def _rows(folder: Path, family: str, every: int) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / f"{family}.instances.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            if number % every == 0:
                yield json.loads(line)


def _measure(
    rows: Iterator[dict[str, Any]], arguments: argparse.Namespace, limits: Limits, decoder: RandomDecoder
) -> Figures:
    figures = Figures()
    for row in rows:
        figures.schemas += 1
        started = time.perf_counter()
        try:
            grammar = json_grammar(row["schema"], limits=limits)
        except InputError as error:
            figures.refusals[str(error)[:160]] += 1
            continue
        figures.build_ms.append(1e3 * (time.perf_counter() - started))
        figures.accepted += 1
        figures.only_checked += bool(grammar.checked)
        _instances(row, grammar, figures, decoder)
        _random(row, grammar, figures, decoder, arguments.random_decode)
    return figures


def _instances(row: dict[str, Any], grammar: Grammar[Any], figures: Figures, decoder: RandomDecoder) -> None:
    started = time.perf_counter()
    compiled = decoder.compile(grammar)
    figures.compile_ms.append(1e3 * (time.perf_counter() - started))
    source = Source(row["schema"])
    expander = Expander(source, Checker(source))
    for test in row["tests"]:
        text = json_text(_ordered(expander, ("",), test["data"]))
        accepted = decoder.accepts(compiled, text)
        if test["valid"]:
            figures.valid += 1
            figures.valid_accepted += accepted
            if not accepted:
                figures.problems.append(f"{row['name']}: valid but rejected: {text[:300]}")
        else:
            figures.invalid += 1
            figures.invalid_rejected += not accepted
            caught = not accepted or _fails(grammar, text)
            figures.invalid_caught += caught
            if not caught:
                figures.problems.append(f"{row['name']}: invalid but accepted: {text[:300]}")


def _fails(grammar: Grammar[Any], text: str) -> bool:
    try:
        grammar.parse(text)
    except InputError:
        return True
    return False


def _ordered(expander: Expander, node: Node, value: Any) -> Any:
    """The value with its properties in the order of the schema."""
    if isinstance(value, list):
        return [_ordered(expander, _items(expander, node, index), item) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    children: dict[str, Node] = {}
    for branch in expander.branches(node):
        found = [keywords for _, keywords in expander.keywords(branch)]
        shape = object_shape(found, expander.source, Limits(), lambda *_: True)
        for name, child in (shape.properties if shape else {}).items():
            children[name] = (*children.get(name, ()), *child)
    names = [*(name for name in children if name in value), *(name for name in value if name not in children)]
    return {name: _ordered(expander, children.get(name, ()), value[name]) for name in names}


def _items(expander: Expander, node: Node, index: int) -> Node:
    found: dict[str, None] = {}
    for branch in expander.branches(node):
        for _, keywords in expander.keywords(branch):
            prefix = keywords.get("prefixItems", [])
            if index < len(prefix):
                found[prefix[index]] = None
            elif "items" in keywords:
                found[keywords["items"]] = None
    return tuple(found)


def _random(
    row: dict[str, Any], grammar: Grammar[Any], figures: Figures, decoder: RandomDecoder, count: int
) -> None:
    if not count:
        return
    small = json_grammar(row["schema"], limits=Limits(string_length=48, items=4, map_entries=3))
    compiled = decoder.compile(small)
    validator = _judge(row["schema"])
    for seed in range(count):
        reply = decoder.decode(compiled, seed=seed, max_tokens=small.max_tokens, ending=0.05)
        figures.decoded += 1
        problem = _problem(reply, validator, small)
        figures.decoded_valid += problem is None
        if problem:
            figures.problems.append(f"{row['name']}: decoded: {problem}: {reply!r:.300}")


def _judge(schema: Any) -> Any:
    chosen: Any = validators.validator_for(schema, default=Draft202012Validator)
    known = FORMATS.keys() & FormatChecker.checkers
    return chosen(schema, format_checker=FormatChecker(known))


def _problem(reply: bytes | None, validator: Any, grammar: Grammar[Any]) -> str | None:
    if reply is None:
        return "max_tokens did not suffice"
    if len(reply) > grammar.max_bytes:
        return "longer than max_bytes"
    try:
        value = json.loads(reply.decode())
        grammar.parse(reply.decode())
        error = next(iter(validator.iter_errors(value)), None)
    except (ValueError, InputError) as raised:
        return f"{raised!r:.300}"
    return None if error is None else f"{error.message:.200}"


def _function_calls(folder: Path, every: int, decoder: RandomDecoder) -> dict[str, str]:
    return {}


def _sum(parts: list[Figures]) -> Figures:
    total = Figures()
    for part in parts:
        for name, value in asdict(part).items():
            setattr(total, name, getattr(total, name) + value)
    return total


def _quantile(values: list[float], share: float) -> float:
    return round(sorted(values)[int(share * (len(values) - 1))], 2) if values else 0.0


def _summary(figures: Figures) -> dict[str, Any]:
    numbers = {k: v for k, v in asdict(figures).items() if isinstance(v, int)}
    times = {
        f"{name}_p{int(share * 100)}": _quantile(getattr(figures, name), share)
        for name in ("build_ms", "compile_ms")
        for share in (0.5, 0.99)
    }
    return numbers | times | {"refusals": dict(figures.refusals), "problems": figures.problems[:200]}


def _print(results: dict[str, Figures]) -> None:
    for name, figures in results.items():
        summary = _summary(figures)
        print(name, {key: value for key, value in summary.items() if key not in ("refusals", "problems")})
    for problem in results["all"].problems[:60]:
        print(" ", problem)
    for refusal, count in results["all"].refusals.most_common(40):
        print(" ", count, refusal)


if __name__ == "__main__":
    main()
