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

from jsonschema import Draft202012Validator, validators

from ragkit.core.errors import InputError
from ragkit.llm.grammar import Grammar, Limits, ToolSpec, action_grammar, json_grammar
from ragkit.llm.grammar.branches import Expander, Node
from ragkit.llm.grammar.check import Checker, format_checker
from ragkit.llm.grammar.objects import object_shape
from ragkit.llm.grammar.sampling import RandomDecoder
from ragkit.llm.grammar.source import Source
from ragkit.llm.grammar.text import json_text
from ragkit.llm.grammar.values import is_array, is_object

FAMILIES = ("Github_trivial", "Github_easy", "Glaiveai2K", "Snowplow")
WIDE = Limits(string_length=4096, items=256, map_entries=32, undeclared=32, depth=6)
"""Tells instances that only the default limits keep out from those that the grammar lacks."""
SMALL = Limits(string_length=48, items=4, map_entries=3)
"""Keeps random replies short."""
RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True, kw_only=True)
class Figures:
    """What was counted for one family."""

    schemas: int = 0
    accepted: int = 0
    only_checked: int = 0
    valid: int = 0
    valid_accepted: int = 0
    valid_beyond_limits: int = 0
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
        family: _measure(
            _rows(arguments.data / "json_schemas", family, arguments.every),
            arguments,
            limits,
            decoder,
        )
        for family in (() if arguments.skip_schemas else FAMILIES)
    }
    results["all"] = _sum(list(results.values()))
    _print(results)
    calls = _function_calls(arguments.data / "function_calling", arguments.every, decoder)
    print("function calls accepted:", calls)
    RESULTS.mkdir(exist_ok=True)
    report = {
        "families": {name: _summary(figures) for name, figures in results.items()},
        "function_calls": calls,
    }
    arguments.out.write_text(json.dumps(report, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th schema")
    parser.add_argument("--random-decode", type=int, default=0, help="random replies per schema")
    parser.add_argument("--undeclared", type=int, default=0, help="Limits.undeclared")
    parser.add_argument("--skip-schemas", action="store_true", help="function calls only")
    parser.add_argument("--out", type=Path, default=RESULTS / "grammar_coverage.json")
    return parser.parse_args()


def _rows(folder: Path, family: str, every: int) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / f"{family}.instances.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            if number % every == 0:
                yield json.loads(line)


def _measure(
    rows: Iterator[dict[str, Any]],
    arguments: argparse.Namespace,
    limits: Limits,
    decoder: RandomDecoder,
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
        try:
            started = time.perf_counter()
            decoder.compile(grammar)
        except InputError as error:
            figures.refusals[str(error)[:160]] += 1
            continue
        figures.compile_ms.append(1e3 * (time.perf_counter() - started))
        figures.accepted += 1
        figures.only_checked += bool(grammar.checked)
        _instances(row, grammar, figures, decoder)
        _random(row, grammar, figures, decoder, arguments.random_decode)
    return figures


def _instances(
    row: dict[str, Any], grammar: Grammar[Any], figures: Figures, decoder: RandomDecoder
) -> None:
    compiled = decoder.compile(grammar)
    source = Source(row["schema"])
    expander = Expander(source, Checker(source))
    for test in row["tests"]:
        text = json_text(_ordered(expander, ("",), test["data"]))
        accepted = decoder.accepts(compiled, text)
        if test["valid"]:
            figures.valid += 1
            figures.valid_accepted += accepted
            if not accepted and _accepted_when_wide(row["schema"], text, decoder):
                figures.valid_beyond_limits += 1
            elif not accepted:
                figures.problems.append(f"{row['name']}: valid but rejected: {text[:300]}")
        else:
            figures.invalid += 1
            figures.invalid_rejected += not accepted
            caught = not accepted or _fails(grammar, text)
            figures.invalid_caught += caught
            if not caught:
                figures.problems.append(f"{row['name']}: invalid but accepted: {text[:300]}")


def _accepted_when_wide(schema: Any, text: str, decoder: RandomDecoder) -> bool:
    try:
        return decoder.accepts(decoder.compile(json_grammar(schema, limits=WIDE)), text)
    except InputError:
        return False


def _fails(grammar: Grammar[Any], text: str) -> bool:
    try:
        grammar.parse(text)
    except InputError:
        return True
    return False


def _ordered(expander: Expander, node: Node, value: Any) -> Any:
    """The value with its properties in the order of the schema."""
    if is_array(value):
        return [
            _ordered(expander, _items(expander, node, index), item)
            for index, item in enumerate(value)
        ]
    if not is_object(value):
        return value
    children: dict[str, Node] = {}
    free: Node = ()
    for branch in expander.branches(node):
        found = [keywords for _, keywords in expander.keywords(branch)]
        for name in (name for keywords in found for name in keywords.get("properties", {})):
            children.setdefault(name, ())
        shape = object_shape(found, expander.source, Limits(), lambda _pointer, _name: True)
        for name, child in (shape.properties if shape else {}).items():
            children[name] = (*children.get(name, ()), *child)
        for _, child in shape.entries if shape else ():
            free = (*free, *child)
    names = [
        *(name for name in children if name in value),
        *(name for name in value if name not in children),
    ]
    return {name: _ordered(expander, children.get(name, free), value[name]) for name in names}


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
    try:
        small = json_grammar(row["schema"], limits=SMALL)
    except InputError as error:
        figures.problems.append(f"{row['name']}: refused under small limits: {error!s:.200}")
        return
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
    return chosen(schema, format_checker=format_checker())


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


def _function_calls(folder: Path, every: int, decoder: RandomDecoder) -> dict[str, Any]:
    """Ground-truth calls of the Berkeley leaderboard under the grammar of their functions."""
    results: dict[str, Any] = {}
    for answers in sorted(folder.glob("answers_*.json")):
        name = answers.name.removeprefix("answers_BFCL_v4_").removesuffix(".json")
        questions = {
            row["id"]: row for row in _lines(folder / answers.name.removeprefix("answers_"))
        }
        cases = [(questions[row["id"]], row) for row in _lines(answers)][::every]
        outcomes = [
            _call_accepted(question["function"], row["ground_truth"], decoder)
            for question, row in cases
        ]
        missed = [row["id"] for (_, row), ok in zip(cases, outcomes, strict=True) if not ok]
        results[name] = {"accepted": sum(outcomes), "of": len(outcomes), "missed": missed[:20]}
    return results


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _call_accepted(
    functions: list[dict[str, Any]], truth: list[dict[str, Any]], decoder: RandomDecoder
) -> bool:
    unique = {function["name"]: function for function in functions}
    tools = [
        ToolSpec(name=name, description="", parameters=_modern(function["parameters"]))
        for name, function in unique.items()
    ]
    grammar = action_grammar(tools, max_calls=max(4, len(truth)))
    calls = [
        {"tool": name, "arguments": _example(given, _modern(unique[name]["parameters"]))}
        for call in truth
        for name, given in call.items()
    ]
    text = json_text({"thought": "Call them.", "calls": calls})
    accepted = decoder.accepts(decoder.compile(grammar), text)
    return accepted and len(grammar.parse(text).calls) == len(calls)


_TYPES = {
    "dict": "object", "HashMap": "object", "Hashtable": "object", "float": "number",
    "double": "number", "Float": "number", "tuple": "array", "Array": "array", "ArrayList": "array",
    "list": "array", "String": "string", "char": "string", "str": "string", "Boolean": "boolean",
    "bool": "boolean", "Bigint": "integer", "Integer": "integer", "int": "integer",
    "long": "integer", "any": None, "Any": None,
}  # fmt: skip


def _modern(schema: Any) -> Any:
    """The leaderboard's Python type names as JSON Schema's."""
    if is_array(schema):
        return [_modern(item) for item in schema]
    if not is_object(schema):
        return schema
    found = {
        key: value if key in ("enum", "default") else _modern(value)
        for key, value in schema.items()
    }
    if isinstance(kind := schema.get("type"), str):
        found["type"] = _TYPES.get(kind, kind)
        if found["type"] is None:
            del found["type"]
    return found


def _example(given: Any, schema: Any) -> Any:
    """One accepted call: the first accepted value of each argument, in the schema's order."""
    if not is_object(given):
        return given
    properties = schema.get("properties", {})
    chosen = {name: values[0] for name, values in given.items() if values and values[0] != ""}
    ordered = [name for name in properties if name in chosen] or list(chosen)
    return {name: _nested(chosen[name], properties.get(name, {})) for name in ordered}


def _nested(value: Any, schema: Any) -> Any:
    if is_object(value) and schema.get("properties"):
        return _example(value, schema)
    if is_array(value):
        return [_nested(item, schema.get("items", {})) for item in value]
    return value


def _sum(parts: list[Figures]) -> Figures:
    total = Figures()
    for part in parts:
        for name, value in asdict(part).items():
            if name == "refusals":
                continue
            setattr(total, name, getattr(total, name) + value)
    for part in parts:
        total.refusals.update(part.refusals)
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
    return (
        numbers | times | {"refusals": dict(figures.refusals), "problems": figures.problems[:200]}
    )


def _print(results: dict[str, Figures]) -> None:
    for name, figures in results.items():
        summary = _summary(figures)
        print(
            name,
            {key: value for key, value in summary.items() if key not in ("refusals", "problems")},
        )
    for problem in results["all"].problems[:60]:
        print(" ", problem)
    for refusal, count in results["all"].refusals.most_common(40):
        print(" ", count, refusal)


if __name__ == "__main__":
    main()
