"""Share of real schemas that the grammar compiler accepts, and how exactly it decodes them.

python -m benchmarks.grammar_coverage --random-decode 1 --masks 30

Times are of the processor. Every schema's record is written as it comes (`--records`), with each
problem in it, and a run goes on where an earlier one stopped.
"""

import argparse
import gzip
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators

from benchmarks.function_calls import Case, cases
from benchmarks.grammar_vocabulary import pieces
from benchmarks.report import Row, publish
from ragkit.core.errors import InputError
from ragkit.grammar import Grammar, Limits, action_grammar, json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.grammar.schema.check import Checker, format_checker
from ragkit.grammar.schema.document import Source
from ragkit.grammar.schema.expansion import Branch, Expander, Node
from ragkit.grammar.schema.values import is_array, is_object
from ragkit.grammar.types.objects import object_shape

FAMILIES = ("Github_trivial", "Github_easy", "Glaiveai2K", "Snowplow")
SUITE = "test suite"
BUDGETS = (1_024, 4_096, 15_000)
"""Tokens of a reply; the instances that count are those that have at most as many bytes."""
DENSITY = 3.0
"""Bytes that a token stands for in JSON, rather few: a reply that was cut is asked for again under
the form that is fitted by it."""
SMALL = Limits(string_length=48, items=4, map_entries=3)
"""Keeps random replies short."""


@dataclass(slots=True, kw_only=True)
class Record:
    """The result for one schema, or for one question with tools."""

    family: str
    name: str
    refusal: str = ""
    checked: list[str] = field(default_factory=list[str])
    build_ms: float = 0.0
    compile_ms: float = 0.0
    valid: int = 0
    valid_accepted: int = 0
    valid_wide: int = 0
    fit_ms: float = 0.0
    wide_ms: float = 0.0
    ebnf: int = 0
    ebnf_wide: int = 0
    short: list[int] = field(default_factory=lambda: [0] * len(BUDGETS))
    short_wide: list[int] = field(default_factory=lambda: [0] * len(BUDGETS))
    short_fitted: list[int] = field(default_factory=lambda: [0] * len(BUDGETS))
    short_again: list[int] = field(default_factory=lambda: [0] * len(BUDGETS))
    refused_tokens: int = 0
    mask_ms: list[float] = field(default_factory=list[float])
    invalid: int = 0
    invalid_rejected: int = 0
    invalid_caught: int = 0
    decoded: int = 0
    decoded_valid: int = 0
    problems: list[str] = field(default_factory=list[str])


def main() -> None:
    """Measure what is not yet recorded, then publish everything."""
    options = _options()
    records = list(_read(options.records))
    known = {(record.family, record.name) for record in records}
    options.records.parent.mkdir(parents=True, exist_ok=True)
    with options.records.open("a") as file:
        for record in _measure(options, known):
            records.append(record)
            print(json.dumps(asdict(record)), file=file, flush=True)
    _publish(records, f"Every {options.every}-th schema, {options.masks} masks each. {NOTE}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=1, help="take every n-th schema")
    parser.add_argument("--random-decode", type=int, default=0, help="random replies per schema")
    parser.add_argument("--masks", type=int, default=0, help="steps whose masks are checked")
    parser.add_argument("--undeclared", type=int, default=0, help="Limits.undeclared")
    parser.add_argument("--records", type=Path, default=Path(".cache/grammar_coverage.jsonl"))
    return parser.parse_args()


def _read(path: Path) -> Iterator[Record]:
    if path.exists():
        for line in path.read_text().splitlines():
            yield Record(**json.loads(line))


def _measure(options: argparse.Namespace, known: set[tuple[str, str]]) -> Iterator[Record]:
    decoder, limits = RandomDecoder(), Limits(undeclared=options.undeclared)
    real = RandomDecoder(pieces(options.data)) if options.masks else None
    for case in list(cases(options.data / "function_calling"))[:: options.every]:
        if (f"calls: {case.group}", case.name) not in known:
            yield _call(case, decoder)
    for family, row in rows(options.data / "json_schemas", options.every):
        if (family, row["name"]) not in known:
            record = Record(family=family, name=row["name"])
            _schema(record, row, limits, decoder, options.random_decode)
            if real and not record.refusal and options.masks:
                _masks(record, row, real, options.masks)
            yield record


def rows(folder: Path, every: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Family and schema: `name`, `schema` and `tests`, each with `data` and `valid`."""
    for family in FAMILIES:
        with gzip.open(folder / f"{family}.instances.jsonl.gz", "rt") as lines:
            for line in list(lines)[::every]:
                yield family, json.loads(line)
    for path in sorted((folder / "test-suite-draft2020-12").glob("*.json"))[::every]:
        for case in json.loads(path.read_text()):
            yield SUITE, {**case, "name": f"{path.stem}: {case['description']}"}


def _schema(
    record: Record, row: dict[str, Any], limits: Limits, decoder: RandomDecoder, count: int
) -> None:
    try:
        started = time.process_time()
        grammar = json_grammar(row["schema"], limits=limits)
        built = time.process_time()
        decoder.compile(grammar)
    except InputError as error:
        record.refusal = str(error)[:200]
        return
    record.build_ms = 1e3 * (built - started)
    record.compile_ms = 1e3 * (time.process_time() - built)
    record.checked = [finding.keyword for finding in grammar.checked]
    record.ebnf = len(grammar.ebnf)
    _instances(record, row, _forms(record, grammar), decoder)
    if count:
        _random(record, row, decoder, count)


def _forms(record: Record, grammar: Grammar[Any]) -> list[Grammar[Any] | None]:
    """The grammar as it is, without bounds, and fitted to each budget where that goes.

    First for a token of each byte, then for `DENSITY`.
    """
    started = time.process_time()
    wide = grammar.wide()
    record.wide_ms, record.ebnf_wide = 1e3 * (time.process_time() - started), len(wide.ebnf)
    forms: list[Grammar[Any] | None] = [grammar, wide]
    for density in (1.0, DENSITY):
        for budget in BUDGETS:
            started = time.process_time()
            try:
                forms.append(grammar.fit(budget, bytes_per_token=density))
            except InputError:
                forms.append(None)
            record.fit_ms = max(record.fit_ms, 1e3 * (time.process_time() - started))
    return forms


def _masks(record: Record, row: dict[str, Any], real: RandomDecoder, steps: int) -> None:
    """Count tokens that a mask allows but the matcher refuses."""
    grammar = json_grammar(row["schema"])
    for form in (grammar.wide(), grammar):
        compiled = real.compile(form)
        refused = real.refused(compiled, seed=record.ebnf, max_tokens=steps, times=record.mask_ms)
        record.refused_tokens += len(refused)
        record.problems.extend(f"mask allows {token!r}" for token in refused[:3])


def _instances(
    record: Record,
    row: dict[str, Any],
    forms: list[Grammar[Any] | None],
    decoder: RandomDecoder,
) -> None:
    compiled = [None if form is None else decoder.compile(form) for form in forms]
    grammar = forms[0]
    source = Source(row["schema"])
    expander = Expander(source, Checker(source))
    for test in row["tests"]:
        text = json_text(_ordered(expander, ("",), test["data"]))
        accepted, wide, *fitted = (c is not None and decoder.accepts(c, text) for c in compiled)
        if test["valid"]:
            record.valid += 1
            record.valid_accepted += accepted
            record.valid_wide += wide
            for index, budget in enumerate(BUDGETS):
                if len(text.encode()) < budget:
                    record.short[index] += 1
                    record.short_wide[index] += wide
                    record.short_fitted[index] += fitted[index]
                    record.short_again[index] += fitted[len(BUDGETS) + index]
            if not wide:
                record.problems.append(f"valid but rejected: {text[:1000]}")
        else:
            refused = not accepted and not wide
            caught = refused or (grammar is not None and _fails(grammar, text))
            record.invalid += 1
            record.invalid_rejected += refused
            record.invalid_caught += caught
            if not caught:
                record.problems.append(f"invalid but accepted: {text[:1000]}")


def _fails(grammar: Grammar[Any], text: str) -> bool:
    try:
        grammar.parse(text)
    except InputError:
        return True
    return False


def _ordered(expander: Expander, node: Node, value: Any) -> Any:
    """The value with its properties in the order of the first branch that it satisfies."""
    if is_array(value):
        return [
            _ordered(expander, _items(expander, node, index), item)
            for index, item in enumerate(value)
        ]
    if not is_object(value):
        return value
    children: dict[str, Node] = {}
    free: Node = ()
    for branch in _satisfied(expander, node, value):
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


def _satisfied(expander: Expander, node: Node, value: Any) -> list[Branch]:
    branches = list(expander.branches(node))
    valid = (
        branch
        for branch in branches
        if all(expander.checker.valid(pointer, value) for pointer in branch.pointers)
    )
    first = next(valid, None)
    return branches if first is None else [first]


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


def _random(record: Record, row: dict[str, Any], decoder: RandomDecoder, count: int) -> None:
    try:
        small = json_grammar(row["schema"], limits=SMALL)
        compiled = decoder.compile(small)
    except InputError as error:
        record.problems.append(f"refused under small limits: {error!s:.200}")
        return
    validator = _judge(row["schema"])
    for seed in range(count):
        reply = decoder.decode(compiled, seed=seed, max_tokens=small.max_tokens, ending=0.05)
        problem = _problem(reply, validator, small)
        record.decoded += 1
        record.decoded_valid += problem is None
        if problem:
            record.problems.append(f"decoded: {problem}: {reply!r:.300}")


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
        # parse has checked multipleOf in exact arithmetic, which jsonschema's doubles deny.
        errors = (e for e in validator.iter_errors(value) if e.validator != "multipleOf")
        error = next(errors, None)
    except (ValueError, InputError) as raised:
        return f"{raised!r:.300}"
    return None if error is None else f"{error.message:.200}"


def _call(case: Case, decoder: RandomDecoder) -> Record:
    record = Record(family=f"calls: {case.group}", name=case.name, valid=case.valid)
    try:
        started = time.process_time()
        grammar = action_grammar(case.tools, max_calls=max(4, case.calls))
        built = time.process_time()
        compiled = decoder.compile(grammar)
    except InputError as error:
        record.refusal = str(error)[:200]
        return record
    record.build_ms = 1e3 * (built - started)
    record.compile_ms = 1e3 * (time.process_time() - built)
    accepted = decoder.accepts(compiled, case.reply)
    right = accepted and len(grammar.parse(case.reply).calls) == case.calls
    record.valid_accepted = case.valid and right
    if not case.valid:
        record.problems.append(f"the answer breaks its own schema: {case.reply[:1000]}")
    elif not right:
        record.problems.append(f"call rejected: {case.reply[:1000]}")
    return record


def _publish(records: list[Record], note: str) -> None:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.family, []).append(record)
    real = [record for record in records if record.family in FAMILIES]
    table = [_row(name, found) for name, found in {**groups, "real schemas": real}.items() if found]
    publish("grammar_coverage", table, note=note)
    for record in records:
        for problem in [record.refusal, *record.problems]:
            if problem and record.family != SUITE:
                print(f"{record.family} {record.name}: {problem:.300}")


NOTE = (
    "valid and invalid: instances that come with the schemas; wide: accepted without bounds; wide "
    "n, again n and fitted n: of those with less than n bytes, by the form of the first call, of a "
    f"second one (fitted to n tokens of {DENSITY:g} bytes) and of a strict one (a byte each); "
    "caught: rejected by the grammar or by parse; decoded: random replies; refused tokens: allowed "
    "by a mask of a real vocabulary of 32,768 tokens, and refused; ms: of the processor."
)


def _row(name: str, records: list[Record]) -> Row:
    taken = [record for record in records if not record.refusal]
    short = [
        {"wide": r.short_wide, "fitted": r.short_fitted, "again": r.short_again, "of": r.short}
        for r in taken
    ]
    counts: dict[str, str | int | float] = {
        "schemas": len(records),
        "accepted": len(taken),
        "only checked": sum(bool(record.checked) for record in taken),
        "valid": _total(taken, "valid"),
        "valid accepted": _total(taken, "valid_accepted"),
        "wide": _total(taken, "valid_wide"),
        **{
            f"{how} {budget}": f"{sum(r[how][i] for r in short)}/{sum(r['of'][i] for r in short)}"
            for i, budget in enumerate(BUDGETS)
            for how in ("wide", "again", "fitted")
        },
        "masks": len(masks := [one for record in taken for one in record.mask_ms]),
        "refused tokens": _total(taken, "refused_tokens"),
        **{
            f"{what} p{share}": _quantile([getattr(record, what) for record in taken], share)
            for what in ("build_ms", "wide_ms", "fit_ms", "ebnf", "ebnf_wide")
            for share in (50, 99)
        },
        **{f"mask_ms p{share}": _quantile(masks, share) for share in (50, 99)},
        "invalid": _total(taken, "invalid"),
        "invalid rejected": _total(taken, "invalid_rejected"),
        "invalid caught": _total(taken, "invalid_caught"),
        "decoded": _total(taken, "decoded"),
        "decoded valid": _total(taken, "decoded_valid"),
    }
    return {"set": name, **counts}


def _quantile(values: list[float], share: int) -> float:
    return round(sorted(values)[share * (len(values) - 1) // 100], 2) if values else 0.0


def _total(records: Iterable[Record], name: str) -> int:
    return sum(getattr(record, name) for record in records)


if __name__ == "__main__":
    main()
