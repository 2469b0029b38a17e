"""Soundness by the JSON Schema test suite: what it calls invalid never comes out of `parse`.

And no over-restriction within reason: most of what it calls valid is in the grammar.
RAGKIT_TEST_GRAMMAR_SCHEMAS=1000 takes all of its cases, else every fourth.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Grammar, json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder

SUITE = Path(__file__).parents[3] / "../shared/data/json_schemas/test-suite-draft2020-12"
pytestmark = pytest.mark.skipif(not SUITE.is_dir(), reason=f"no JSON Schema test suite at {SUITE}")


EVERY = 1 if os.environ.get("RAGKIT_TEST_GRAMMAR_SCHEMAS") else 4


def _cases() -> list[tuple[str, Any, list[dict[str, Any]]]]:
    return [
        (f"{path.stem}: {case['description']}", case["schema"], case["tests"])
        for path in sorted(SUITE.glob("*.json"))
        for case in json.loads(path.read_text())
    ][::EVERY]


def _parses(grammar: Grammar[Any], text: str) -> bool:
    try:
        grammar.parse(text)
    except InputError:
        return False
    return True


def test_nothing_invalid_is_decoded_and_parsed() -> None:
    decoder = RandomDecoder()
    wrong, unsound, valid, accepted = list[str](), list[str](), 0, 0
    for name, schema, tests in _cases():
        try:
            grammar = json_grammar(schema)
        except InputError:
            continue
        compiled = decoder.compile(grammar)
        for test in tests:
            text = json_text(test["data"])
            decoded = decoder.accepts(compiled, text)
            if test["valid"]:
                valid, accepted = valid + 1, accepted + decoded
            elif decoded and not grammar.checked and not name.startswith("format"):
                unsound.append(f"{name}: {text}")
            if not test["valid"] and decoded and _parses(grammar, text):
                wrong.append(f"{name}: {text}")
    assert wrong == []
    assert unsound == []
    assert accepted >= 0.8 * valid
