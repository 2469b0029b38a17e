import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Plan, StepReference, StepText, ToolSpec, plan_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from tests.grammar.conftest import CLOCK, SEARCH, SMALL


def test_a_step_refers_to_earlier_steps_only(decoder: RandomDecoder) -> None:
    grammar = plan_grammar([SEARCH, CLOCK], 12, limits=SMALL)
    for reply in decoder.replies(grammar, 20):
        plan = grammar.parse(reply)
        assert isinstance(plan, Plan)
        for index, step in enumerate(plan.steps, 1):
            assert step.id == f"#E{index}"
            assert all(int(ref[2:]) < index for ref in step.needs)
    compiled = decoder.compile(grammar)
    first = '{"id":"#E1","tool":"now","arguments":{}}'
    second = '{"id":"#E2","tool":"search","arguments":{"query":{"ref":"%s","path":["a",0]}}}'
    text = '{"steps":[' + first + "," + second % "#E1" + "]}"
    assert decoder.accepts(compiled, text)
    assert grammar.parse(text).steps[1].arguments["query"] == StepReference(
        ref="#E1", path=("a", 0)
    )
    assert not decoder.accepts(compiled, '{"steps":[' + first + "," + second % "#E2" + "]}")
    assert not decoder.accepts(compiled, '{"steps":[' + second.replace("#E2", "#E1") % "#E1" + "]}")


def test_a_later_step_may_give_arguments_of_any_name(decoder: RandomDecoder) -> None:
    free = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
    tool = ToolSpec(name="free", description="", parameters=free)
    compiled = decoder.compile(plan_grammar([tool], 2, limits=SMALL))
    step = '{"id":"#E%d","tool":"free","arguments":{"a":"x"}}'
    assert decoder.accepts(compiled, '{"steps":[' + step % 1 + "," + step % 2 + "]}")


def test_a_plan_needs_a_step() -> None:
    with pytest.raises(InputError, match="at least one step"):
        plan_grammar([SEARCH], 0)


def test_a_text_may_be_joined_of_texts_and_references(decoder: RandomDecoder) -> None:
    parameters = {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "day": {"type": "string", "pattern": "^[a-z]+$"},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    tool = ToolSpec(name="find", description="", parameters=parameters)
    grammar = plan_grammar([tool], 3, limits=SMALL)
    compiled = decoder.compile(grammar)

    def plan(arguments: str) -> str:
        first = '{"id":"#E1","tool":"find","arguments":{"query":"x"}}'
        second = f'{{"id":"#E2","tool":"find","arguments":{arguments}}}'
        return f'{{"steps":[{first},{second}]}}'

    joined = '{"join":["ab ",{"ref":"#E1","path":[]}," c"]}'
    text = plan(f'{{"query":{joined}}}')
    assert decoder.accepts(compiled, text)
    (_, step) = grammar.parse(text).steps
    reference = StepReference(ref="#E1")
    assert step.arguments["query"] == StepText(parts=("ab ", reference, " c"))
    assert step.needs == ("#E1",)
    for wrong in (
        f'{{"query":"x","kind":{joined}}}',
        f'{{"query":"x","day":{joined}}}',
        '{"query":{"join":["ab "]}}',
        '{"query":{"join":["ab ",{"ref":"#E2","path":[]}]}}',
    ):
        assert not decoder.accepts(compiled, plan(wrong))
    for reply in decoder.replies(grammar, 20):
        for index, one in enumerate(grammar.parse(reply).steps, 1):
            assert all(int(ref[2:]) < index for ref in one.needs)
