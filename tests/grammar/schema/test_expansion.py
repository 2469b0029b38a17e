from ragkit.grammar import json_grammar
from ragkit.grammar.random_decoding import RandomDecoder


def test_overlaps_within_overlaps_end(decoder: RandomDecoder) -> None:
    resource = {"oneOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/map"}]}
    leaf = {"oneOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]}
    schema = {
        "$ref": "#/$defs/resource",
        "$defs": {
            "resource": resource,
            "leaf": leaf,
            "map": {"type": "object", "additionalProperties": {"$ref": "#/$defs/resource"}},
        },
    }
    grammar = json_grammar(schema)
    assert decoder.accepts(decoder.compile(grammar), '"x"')
