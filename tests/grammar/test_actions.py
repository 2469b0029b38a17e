import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Action, Limits, ToolSpec, action_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from tests.grammar.conftest import CLOCK, SEARCH, SMALL


def test_each_tool_has_its_own_arguments(decoder: RandomDecoder) -> None:
    grammar = action_grammar([SEARCH, CLOCK], max_calls=2, limits=SMALL)
    for reply in decoder.replies(grammar, 20):
        action = grammar.parse(reply)
        assert isinstance(action, Action)
        assert 1 <= len(action.calls) <= 2
    compiled = decoder.compile(grammar)
    call = '{"thought":"","calls":[{"tool":"%s","arguments":%s}]}'
    assert decoder.accepts(compiled, call % ("search", '{"query":"x","k":50}'))
    assert not decoder.accepts(compiled, call % ("search", '{"query":"x","k":51}'))
    assert not decoder.accepts(compiled, call % ("now", '{"query":"x"}'))
    assert not decoder.accepts(compiled, call % ("other", "{}"))


def test_a_call_that_ends_stands_alone_and_may_say_more(decoder: RandomDecoder) -> None:
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    end = ToolSpec(name="end", description="", parameters=text)
    limits = Limits(string_length=32)
    grammar = action_grammar([SEARCH], ending=[end], max_calls=2, limits=limits)
    ended = [
        [call.tool for call in grammar.parse(reply).calls] for reply in decoder.replies(grammar, 20)
    ]
    assert ["end"] in ended
    assert all(tools == ["end"] or "end" not in tools for tools in ended)
    compiled = decoder.compile(grammar)
    first = '{"tool":"search","arguments":{"query":"x"}}'
    last = '{"tool":"end","arguments":{"text":"%s"}}'
    assert decoder.accepts(compiled, f'{{"thought":"","calls":[{first},{first}]}}')
    assert not decoder.accepts(compiled, f'{{"thought":"","calls":[{first},{last % "x"}]}}')
    assert decoder.accepts(compiled, f'{{"thought":"","calls":[{last % (64 * "x")}]}}')
    assert not decoder.accepts(compiled, f'{{"thought":"","calls":[{last % (65 * "x")}]}}')
    assert action_grammar([], ending=[end]).parse(
        '{"thought":"","calls":[{"tool":"end","arguments":{"text":"x"}}]}'
    )


def test_two_hundred_tools_compile(decoder: RandomDecoder) -> None:
    tools = [
        ToolSpec(name=f"tool_{number}", description="", parameters=SEARCH.parameters)
        for number in range(200)
    ]
    compiled = decoder.compile(action_grammar(tools))
    text = '{"thought":"t","calls":[{"tool":"tool_199","arguments":{"query":"x"}}]}'
    assert decoder.accepts(compiled, text)


def test_tools_need_names_of_their_own() -> None:
    with pytest.raises(InputError, match="unique names"):
        action_grammar([SEARCH, SEARCH])
    with pytest.raises(InputError, match="unique names"):
        action_grammar([SEARCH], ending=[SEARCH])
    with pytest.raises(InputError, match="max_calls must be at least 1"):
        action_grammar([SEARCH], ending=[CLOCK], max_calls=0)
