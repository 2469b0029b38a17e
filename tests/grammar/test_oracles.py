"""What is decoded is valid for two independent judges: jsonschema, and llguidance's own grammar."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer

from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.random_decoding import RandomDecoder

SMALL = Limits(string_length=80, items=4, map_entries=3)
SCHEMAS: list[Any] = [
    {"type": "string", "minLength": 3, "maxLength": 70},
    {"type": "string", "pattern": "b$"},
    {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$"},
    {"type": "string", "pattern": "^((ab)+)?$"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "ipv6"},
    {"type": "integer", "minimum": -12, "maximum": 105},
    {"type": "number"},
    {"enum": ["a", 1, None, [1, "b"]]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}},
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"const": 1}},
        "required": ["b"],
        "additionalProperties": False,
    },
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["next"],
                "additionalProperties": False,
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:60])
def test_replies_are_valid_for_other_judges(decoder: RandomDecoder, schema: Any) -> None:
    tokenizer = LLTokenizer("byte")
    guidance = LLMatcher.grammar_from_json_schema(json.dumps(schema))
    validator: Any = Draft202012Validator(schema)
    grammar = json_grammar(schema, limits=SMALL)
    for reply in decoder.replies(grammar, 15):
        validator.validate(json.loads(reply))
        if "\x7f" in reply:  # allowed in JSON strings, though not by llguidance
            continue
        matcher = LLMatcher(tokenizer, guidance)
        tokens = tokenizer.tokenize_str(reply)
        assert matcher.try_consume_tokens(tokens) == len(tokens), reply
        assert matcher.is_accepting(), reply
