import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.random_decoding import RandomDecoder


def test_depth_gives_way_to_the_number_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    child = {"anyOf": [{"type": "null"}, {"$ref": "#"}]}
    schema = {"type": "object", "properties": {f"p{n}": child for n in range(4)}}
    monkeypatch.setattr("ragkit.grammar.ebnf.rules._MAX_RULES", 30)
    assert 0 < json_grammar(schema, limits=Limits(depth=6)).limits.depth < 6
    with pytest.raises(InputError, match="too large"):
        json_grammar({"type": "object", "required": [f"p{n}" for n in range(30)]})


def test_limits_bound_what_the_schema_does_not(decoder: RandomDecoder) -> None:
    grammar = json_grammar(
        {"type": "array", "items": {"type": "string"}}, limits=Limits(items=2, string_length=5)
    )
    compiled = decoder.compile(grammar)
    assert decoder.accepts(compiled, '["aaaaa","b"]')
    assert not decoder.accepts(compiled, '["a","b","c"]')
    assert not decoder.accepts(compiled, '["aaaaaa"]')
    assert grammar.max_bytes == len('["",""]') + 2 * 5 * 4


def test_undeclared_properties_need_a_limit(decoder: RandomDecoder) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    text = '{"a":1,"b":2}'
    assert not decoder.accepts(decoder.compile(json_grammar(schema)), text)
    wide = json_grammar(schema, limits=Limits(undeclared=1))
    assert decoder.accepts(decoder.compile(wide), text)
    assert not decoder.accepts(decoder.compile(wide), '{"a":1,"a":"x"}')


def test_fit_tightens_until_the_reply_fits() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    fitted = grammar.fit(2000)
    assert fitted.max_tokens <= 2000 < grammar.max_tokens
    assert fitted.limits.items >= 3
    assert grammar.fit(10**9) is grammar
    with pytest.raises(InputError, match="only 40 are left"):
        json_grammar({"type": "string", "minLength": 100}).fit(40)
