import runpy
from pathlib import Path

import pytest

from ragkit.grammar import Limits, ToolSpec
from ragkit.grammar.random_decoding import RandomDecoder

ROOT = Path(__file__).parents[2]
DATA = ROOT / "../shared/data"
SMALL = Limits(string_length=24, items=2, map_entries=2)
SEARCH = ToolSpec(
    name="search",
    description="Search the documents.",
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string"}, "k": {"$ref": "#/$defs/k"}},
        "required": ["query"],
        "$defs": {"k": {"type": "integer", "minimum": 1, "maximum": 50}},
    },
)
CLOCK = ToolSpec(
    name="now", description="The time.", parameters={"type": "object", "properties": {}}
)


@pytest.fixture(scope="session")
def decoder() -> RandomDecoder:
    """One vocabulary for all, so that xgrammar computes shared token masks once."""
    return RandomDecoder()


@pytest.fixture(scope="session")
def real_decoder() -> RandomDecoder:
    """A byte-level BPE of real text and JSON, with the number of tokens of small real models."""
    if not (DATA / "beir/scifact").is_dir():
        pytest.skip(f"no text to train a tokenizer on at {DATA}")
    vocabulary = runpy.run_path(str(ROOT / "benchmarks/grammar_vocabulary.py"))
    found = RandomDecoder(vocabulary["pieces"](DATA))
    assert len(found.vocabulary) >= vocabulary["SIZE"]
    return found
