"""Each keyword: the values that its grammar accepts and rejects, by xgrammar's own matcher."""

import json
import re
from typing import Any

import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder

CASES: list[tuple[Any, list[Any], list[Any]]] = [
    (True, [None, 1, "x", [1], {"a": 1}], []),
    ({"type": "null"}, [None], [0, False]),
    ({"type": "boolean"}, [True, False], ["true", 1]),
    ({"type": "string"}, ["", 'é\n"\\😀', "a" * 900, "l1\nl2\nl3"], [1]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "\n\n", "😀😀😀"], ["a", "abcd"]),
    (
        {"type": "string", "minLength": 70, "maxLength": 200},
        ["a" * 70, "b" * 200],
        ["a" * 69, "b" * 201],
    ),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["", "aB", "a b"]),
    ({"type": "string", "pattern": "b+"}, ["b", "abba", "\nb"], ["aaa", ""]),
    ({"type": "string", "pattern": "^(x|%[0-9]{2})*$"}, ["", "x%12x%34", "x" * 900], ["%1", "y"]),
    ({"type": "string", "pattern": "^(?:i-default|(x[a-z]{1,8})+)$"}, ["i-default"], ["i-"]),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "axx", "xxb"], ["xax", "bx"]),
    ({"type": "string", "pattern": "^(foo|bar)?$"}, ["", "foo"], ["foobar"]),
    (
        {"type": "string", "pattern": "^a*$", "minLength": 3, "maxLength": 5},
        ["aaa", "aaaaa"],
        ["aa", "a" * 6],
    ),
    (
        {"type": "string", "pattern": "^(?!adm)[a-z]{3,6}$"},
        ["user", "ad"[:1] + "bc"],
        ["admin", "ab"],
    ),
    (
        {"type": "string", "pattern": "a", "allOf": [{"pattern": "b"}], "maxLength": 9},
        ["ab", "xbxax"],
        ["a", "b"],
    ),
    ({"type": "string", "not": {"pattern": "^x"}, "maxLength": 9}, ["ax", ""], ["x", "xa"]),
    (
        {"type": "string", "format": "date"},
        ["2024-02-29", "1999-12-31"],
        ["2023-02-29", "2024-13-01"],
    ),
    (
        {"type": "string", "format": "time"},
        ["12:00:00Z", "23:59:59.5+01:00"],
        ["12:00", "24:00:00Z"],
    ),
    ({"type": "string", "format": "date-time"}, ["2024-02-29T12:00:00Z"], ["2024-02-30T12:00:00Z"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
    (
        {"type": "string", "format": "email"},
        ["a.b@example.com", "m4.van.dijk@vu.nl", "first.last@my-company.co.uk"],
        ["a@", "@b", "a b@c", "a..b@c"],
    ),
    ({"type": "string", "format": "ipv4"}, ["192.168.0.255"], ["256.1.1.1", "1.2.3"]),
    ({"type": "string", "format": "ipv6"}, ["::1", "fe80::1:2", "1:2:3:4:5:6:7:8"], ["1:2", ":::"]),
    (
        {"type": "string", "format": "uri"},
        [
            "https://example.com/a?b=c#d",
            "mailto:a@b.de",
            "file:///path/to/landing-page-of-the-tests.js",
            "https://example.com/" + "long-path/" * 20 + "%C3%A9t%C3%A9",
            "ecdsa-koblitz-pubkey:14RZvYazz9H2DC2skBfpPVxax54g4yabxe",
        ],
        ["example", "http://a b", "http://a%2"],
    ),
    ({"type": "string", "format": "iri"}, ["https://exämple.com/ä"], ["not-an-iri"]),
    ({"type": "string", "format": "hostname"}, ["a-b.example.com"], ["-a", "a..b"]),
    ({"type": "integer"}, [0, -7, 10**17], [1.5, "1"]),
    (
        {"type": "integer", "minimum": -12, "maximum": 105},
        [-12, -1, 0, 9, 10, 99, 105],
        [-13, 106, 1000],
    ),
    ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5.5}, [4, 5], [3, 6]),
    (
        {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 1000},
        [0, 7, 994],
        [1, 1001, 8],
    ),
    ({"type": "number"}, [0, -1.5, 1e-07, 1e16, 0.1], ["1"]),
    (
        {"type": "number", "minimum": 0.5, "maximum": 2.25},
        [0.5, 1, 2.25, 1.999],
        [0.49, 2.26, 3, -1],
    ),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5, 0.001], [0, 1, 1.5]),
    ({"type": "number", "minimum": -1.5, "maximum": -0.25}, [-1.5, -0.3, -1], [-0.2, -1.6, 0, 1]),
    ({"type": "number", "multipleOf": 0.01}, [0.01, 19.99, 3, 1.5], [0.001]),
    (
        {"type": "number", "multipleOf": 2.5, "minimum": 0, "maximum": 10},
        [0, 2.5, 5, 7.5, 10],
        [1, 12.5],
    ),
    (
        {"enum": ["a", 1, None, [1, "b"], {"k": 0.5}]},
        ["a", 1, None, [1, "b"], {"k": 0.5}],
        ["b", 2],
    ),
    ({"enum": ["a", 1, None], "type": "string"}, ["a"], [1, None]),
    ({"const": {"x": 'é"'}}, [{"x": 'é"'}], [{}]),
    ({"type": ["string", "null"], "maxLength": 1}, ["a", None], ["ab", 1]),
    (
        {"properties": {"a": {"type": "integer"}, "b": {}}, "type": "object"},
        [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": None}],
        [{"a": "x"}, {"c": 1}],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
            "required": ["b"],
        },
        [{"b": 2}, {"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 3}],
        [{}, {"a": 1}, {"c": 3}],
    ),
    (
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
        [{"a": "x", "b": 1}, {"c": 1, "d": 2}],
        [{"b": "x"}],
    ),
    ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
    (
        {
            "type": "object",
            "patternProperties": {"^x": {"type": "integer"}},
            "additionalProperties": False,
        },
        [{}, {"x1": 1}],
        [{"x1": "a"}, {"y": 1}],
    ),
    (
        {
            "type": "object",
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": {"const": 1},
        },
        [{"a": 1}],
        [{"c": 1}],
    ),
    ({"type": "object", "propertyNames": {"pattern": "^[a-z]{2}$"}}, [{"ab": 1}], [{"a": 1}]),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
            "additionalProperties": False,
            "minProperties": 2,
        },
        [{"a": 1, "b": 2}, {"b": 2, "c": 3}],
        [{}, {"a": 1}],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
            "maxProperties": 1,
        },
        [{}, {"c": 3}],
        [{"a": 1, "b": 2}],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
            "dependentRequired": {"a": ["b"]},
        },
        [{}, {"b": 2}, {"a": 1, "b": 2}],
        [{"a": 1}],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"type": "integer"}},
            "dependentSchemas": {"a": {"properties": {"b": {"const": 5}}}},
        },
        [{"b": 4}, {"a": 1, "b": 5}],
        [{"a": 1, "b": 4}],
    ),
    ({"type": "array"}, [[], [1, "a", None]], [{}]),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
        [[1], [1, 2]],
        [[], [1, 2, 3], ["a"]],
    ),
    (
        {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False},
        [[], [1], [1, 2]],
        [[2], [1, 2, 3]],
    ),
    (
        {"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 2}},
        [[1, 2, 2], []],
        [[2]],
    ),
    (
        {"type": "array", "items": {"enum": [1, 2, 3]}, "contains": {"const": 2}},
        [[2], [1, 2, 3]],
        [[], [1, 3]],
    ),
    (
        {
            "type": "array",
            "items": {"enum": [1, 2]},
            "contains": {"const": 2},
            "minContains": 2,
            "maxContains": 2,
        },
        [[2, 2], [2, 1, 2]],
        [[2], [2, 2, 2]],
    ),
    (
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True},
        [[], ["c", "a"], ["a", "b", "c"]],
        [["a", "a"]],
    ),
    (
        {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}]},
        [1, "ab"],
        ["abc", None],
    ),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5, "type": "number"}]}, [1, 5.5], [1.5]),
    (
        {
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
        },
        [{"a": 1}, {"b": 2}],
        [{}, {"a": 1, "b": 2}],
    ),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 5}]}, [3, 5], [2, 6, "a"]),
    (
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}},
            ],
            "type": "object",
        },
        [{"a": 1}, {"a": 1, "b": "x"}],
        [{"b": "x"}, {"a": "x"}],
    ),
    (
        {"type": "array", "not": {"items": {"not": {"const": "x"}}}, "items": {"enum": ["x", "y"]}},
        [["x"], ["y", "x"]],
        [[], ["y"]],
    ),
    (
        {"type": "array", "not": {"contains": {"const": 1}}, "items": {"enum": [1, 2]}},
        [[], [2, 2]],
        [[1], [2, 1]],
    ),
    ({"oneOf": [{"type": "string"}, {"instanceof": "RegExp"}]}, [1, None], ["a"]),
    (
        {
            "oneOf": [
                {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
            ]
        },
        [{"a": None}, {"b": None}],
        [{}, {"a": None, "b": None}],
    ),
    (
        {"enum": [f"name {n}" for n in range(3000)], "type": "string", "maxLength": 8},
        ["name 0", "name 999"],
        ["name 1000", "name"],
    ),
    ({"not": {"type": ["string", "object", "array", "null"]}}, [1, True], ["a", None]),
    (
        {"type": "string", "not": {"enum": ["a", "bc"]}, "maxLength": 4},
        ["b", "abc", "", "ab"],
        ["a", "bc"],
    ),
    (
        {
            "type": "object",
            "properties": {"k": {"enum": ["x", "y"]}, "v": {"type": "integer"}},
            "required": ["k"],
            "if": {"properties": {"k": {"const": "x"}}},
            "then": {"required": ["v"]},
        },
        [{"k": "y"}, {"k": "x", "v": 1}],
        [{"k": "x"}],
    ),
    (
        {
            "$ref": "#/$defs/n",
            "$defs": {
                "n": {
                    "type": "object",
                    "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
                    "additionalProperties": False,
                }
            },
        },
        [{}, {"c": []}, {"c": [{}, {"c": [{}]}]}],
        [{"c": [1]}],
    ),
    (
        {
            "definitions": {"p": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}},
            "$ref": "#/definitions/p",
            "$schema": "http://json-schema.org/draft-04/schema#",
        },
        [1],
        [0],
    ),
    (
        {
            "dependencies": {"a": ["b"]},
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "$schema": "http://json-schema.org/draft-07/schema#",
        },
        [{"b": 1}, {"a": 1, "b": 1}],
        [{"a": 1}],
    ),
    (
        {"type": "integer", "multipleOf": 500},
        [0, 500, -1500, 10**6],
        [1, 501, 50],
    ),
    ({"type": "integer", "multipleOf": 3600, "minimum": 1}, [3600, 7200], [0, 100, 36]),
    ({"type": "integer", "multipleOf": 3599}, [0, 3599, -7198], [1, 3600]),
    ({"type": "string", "pattern": "(?i)^k[a-c]$"}, ["ka", "KB", "kC"], ["a", "kd", "ß"]),
    ({"type": "string", "pattern": "(?s)^a.b$"}, ["a\nb", "axb"], ["ab"]),
    ({"type": "string", "pattern": r"^\p{Lu}\p{L}+$"}, ["Été", "Straße", "Ab"], ["été", "A1"]),
    ({"type": "string", "pattern": r"^[^\p{L}]+$"}, ["12 -"], ["a", "1é"]),
    (
        {"type": "string", "pattern": r"\bfoo\b"},
        ["foo", "a foo!", "(foo)"],
        ["food", "afoo", "xfoox"],
    ),
    ({"type": "string", "format": "duration"}, ["P3D", "PT5S", "P1DT2H3M4S", "P2W"], ["P", "3D"]),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}},
            "allOf": [{"properties": {"b": {"const": 2}}}],
            "unevaluatedProperties": False,
        },
        [{}, {"a": 1, "b": 2}],
        [{"c": 1}, {"a": 1, "c": 3}],
    ),
    (
        {"type": "array", "prefixItems": [{"const": 1}], "unevaluatedItems": False},
        [[], [1]],
        [[1, 2], [2]],
    ),
    (
        {
            "type": "object",
            "properties": {"k": {"enum": [*"abcdefgh"]}, "v": {"type": "integer"}},
            "required": ["k", "v"],
            "allOf": [
                {
                    "if": {"properties": {"k": {"const": letter}}, "required": ["k"]},
                    "then": {"properties": {"v": {"const": number}}},
                }
                for number, letter in enumerate("abcdefgh")
            ],
        },
        [{"k": "a", "v": 0}, {"k": "h", "v": 7}],
        [{"k": "a", "v": 7}, {"k": "h", "v": 0}],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda value: json.dumps(value)[:60])
def test_accepts_exactly(
    decoder: RandomDecoder, schema: Any, good: list[Any], bad: list[Any]
) -> None:
    grammar = json_grammar(schema)
    assert not grammar.checked
    compiled, wide = decoder.compile(grammar), decoder.compile(grammar.wide())
    for value in good:
        text = json_text(value)
        assert decoder.accepts(wide, text), text
        bounded = decoder.accepts(compiled, text)
        assert bounded or len(text) > 80 or "format" in schema, text
        assert len(text.encode()) <= grammar.max_bytes or not bounded
        assert grammar.parse(text) == value
    for value in bad:
        assert not decoder.accepts(compiled, json_text(value)), value
        if decoder.accepts(wide, json_text(value)):  # undeclared entries, which are valid
            assert grammar.parse(json_text(value)) == value


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        ({"properties": {"a": {"$ref": "other.json"}}}, "$ref", "/properties/a"),
        ({"items": {"pattern": r"(a)\1", "type": "string"}}, "pattern", "/items"),
        ({"minimum": float("nan")}, "minimum", "/"),
        ({"maximum": float("inf")}, "maximum", "/"),
        ({"type": "number", "exclusiveMinimum": 1e300}, "exclusiveMinimum", "/"),
        ({"type": "string", "pattern": r"a\b."}, "pattern", "/"),
        ({"anyOf": [{"$dynamicRef": "#x"}]}, "$dynamicRef", "/anyOf/0"),
    ],
)
def test_a_refusal_names_keyword_and_path(schema: Any, keyword: str, path: str) -> None:
    with pytest.raises(InputError, match=rf"keyword '{re.escape(keyword)}' at '{path}'"):
        json_grammar(schema)


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(InputError, match="No finite value"):
        json_grammar({"type": "integer", "minimum": 3, "maximum": 2})
    with pytest.raises(InputError, match="No finite value"):
        json_grammar(
            {
                "$defs": {
                    "a": {
                        "type": "object",
                        "properties": {"a": {"$ref": "#/$defs/a"}},
                        "required": ["a"],
                    }
                },
                "$ref": "#/$defs/a",
            }
        )


def test_a_checked_keyword_is_named_and_fails_in_parse() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}, "uniqueItems": True})
    assert [finding.keyword for finding in grammar.checked] == ["uniqueItems"]
    with pytest.raises(InputError, match="uniqueItems"):
        grammar.parse('["a","a"]')


def test_a_schema_of_five_hundred_properties_is_built(decoder: RandomDecoder) -> None:
    names = [f"p{number}" for number in range(500)]
    properties = {name: {"type": "integer"} for name in names}
    for required in ([], names):
        schema = {"type": "object", "properties": properties, "required": required}
        text = json_text(dict.fromkeys(names, 7))
        assert decoder.accepts(decoder.compile(json_grammar(schema)), text)


def test_unique_items_of_a_large_enum_stay_small(decoder: RandomDecoder) -> None:
    values = [f"value {number}" for number in range(200)]
    grammar = json_grammar({"type": "array", "uniqueItems": True, "items": {"enum": values}})
    assert len(grammar.ebnf) < 1_000_000
    compiled = decoder.compile(grammar.wide())
    assert decoder.accepts(compiled, json_text(values))
    assert decoder.accepts(compiled, json_text(values[::7]))
    assert not decoder.accepts(compiled, json_text([values[3], values[3]]))
    assert not decoder.accepts(decoder.compile(grammar), json_text(values[:33]))
