from collections.abc import Sequence

import pytest

from ragkit.answering.excerpt import Excerpt, excerpt
from ragkit.answering.question_kind import QuestionKind
from ragkit.answering.suitability import Suitability
from ragkit.answering.unit_features import UnitCandidate, UnitFeatures
from ragkit.answering.units import units_of
from ragkit.core.types import Chunk, Hit

GUIDE = """# Guide

First sentence. Second sentence. Third one. Fourth one.

## Install

Get it from the index.

Run this:

```shell
pip install x
```

It takes a minute.

## Options

There are:

- alpha
- beta

| name | value |
| --- | --- |
| a | 1 |
| b | 2 |
"""


def _passage(text: str, *, start: int = 0, path: tuple[str, ...] = ()) -> list[UnitCandidate]:
    chunk = Chunk(
        id=str(start), uri="g.md", title="Guide", text=text, start=start, end=start + len(text),
        heading_path=path,
    )  # fmt: skip
    features = UnitFeatures(**dict.fromkeys(UnitFeatures.__dataclass_fields__, 0.0))
    form = Suitability(**dict.fromkeys(Suitability.__dataclass_fields__, 0.0))
    return [
        UnitCandidate(
            hit=Hit(chunk=chunk, score=1.0, trace={}),
            unit=unit,
            features=features,
            form=form,
            span=None,
        )
        for unit in units_of(chunk)
    ]


def _excerpt(text: str, kind: QuestionKind, *passages: Sequence[UnitCandidate]) -> Excerpt:
    given = passages or (_passage(GUIDE),)
    best = next(one for units in given for one in units if one.unit.text == text)
    return excerpt(best, given, kind=kind)


@pytest.mark.parametrize("kind", ["fact", "boolean"])
def test_a_fact_is_one_sentence(kind: QuestionKind) -> None:
    assert _excerpt("Second sentence.", kind).text(headed=False) == "Second sentence."


def test_an_explanation_is_at_most_three_sentences_of_a_paragraph() -> None:
    found = _excerpt("Second sentence.", "explanation")
    assert found.text(headed=True) == "Guide\nSecond sentence. Third one. Fourth one."


def test_a_heading_that_the_text_repeats_is_not_shown() -> None:
    passage = _passage("# Edit a note\n\nEdit a note by tapping it.")
    found = excerpt(passage[0], [passage], kind="steps")
    assert found.text(headed=True) == "Edit a note by tapping it."


def test_steps_start_with_their_section_and_end_with_its_code() -> None:
    found = _excerpt("Get it from the index.", "steps")
    assert found.text(headed=True) == ("Install\nGet it from the index.\nRun this:\npip install x")
    assert [citation.quote for citation in found.citations()] == [
        "Get it from the index.\n\nRun this:\n\n```shell\npip install x"
    ]


def test_a_fact_that_a_list_tells_comes_with_the_list() -> None:
    assert _excerpt("There are:", "fact").text(headed=False) == "There are:\n• alpha\n• beta"


def test_steps_do_not_start_in_the_middle_of_a_sentence() -> None:
    passage = _passage("of the former page. Open the lid.\n\nPress the button.")
    found = excerpt(passage[2], [passage], kind="steps")
    assert found.text(headed=False) == "Open the lid.\nPress the button."


def test_code_comes_with_the_sentence_that_announces_it() -> None:
    assert _excerpt("pip install x", "fact").text(headed=False) == "Run this:\npip install x"


def test_an_item_comes_with_its_list() -> None:
    found = _excerpt("beta", "list")
    assert found.text(headed=True) == "Options\nThere are:\n• alpha\n• beta"
    assert found.best.unit.text == "beta"


def test_a_row_comes_with_its_table() -> None:
    assert _excerpt("name: b; value: 2", "list").text(headed=False) == (
        "name: a; value: 1\nname: b; value: 2"
    )


def test_a_list_that_a_sentence_announces_follows_it() -> None:
    assert _excerpt("There are:", "explanation").text(headed=False) == "There are:\n• alpha\n• beta"


def test_chunks_that_touch_are_read_on_and_cited_each() -> None:
    text = "## Install\n\nRun this:\n\n"
    one, two = _passage(text), _passage("```\nmake\n```\n", start=len(text), path=("Install",))
    found = _excerpt("Run this:", "steps", two, one)
    assert found.text(headed=False) == "Run this:\nmake"
    assert [citation.start for citation in found.citations()] == [12, len(text) + 4]


def test_a_chunk_apart_is_not_read_on() -> None:
    text = "## Install\n\nRun this:\n\n"
    one, two = _passage(text), _passage("```\nmake\n```\n", start=500, path=("Install",))
    assert _excerpt("Run this:", "steps", one, two).text(headed=False) == "Run this:"


def test_a_long_list_is_cut_around_its_best_item() -> None:
    text = "\n".join(f"- item {number} " + "x" * 90 for number in range(40))
    passage = _passage(text)
    found = excerpt(passage[20], [passage], kind="list")
    assert passage[20] in found.units
    assert len(found.text(headed=False)) < 1300


def test_code_that_the_edge_of_a_chunk_cuts_is_joined() -> None:
    text = "Run this:\n\n```\nimport x\nx.start()\n"
    one, two = _passage(text), _passage("x.stop()\n```\n\nThen wait.\n", start=len(text))
    found = excerpt(one[1], [one, two], kind="fact")
    assert found.text(headed=False) == "Run this:\nimport x\nx.start()\nx.stop()"
    assert len(found.citations()) == 2
    one, two = _passage(text[:-1]), _passage("\nx.stop()\n```\n\nWait.\n", start=len(text) - 1)
    assert excerpt(one[1], [one, two], kind="fact").text(headed=False).endswith("\nx.stop()")


def test_a_sentence_that_the_edge_of_a_chunk_cuts_is_joined() -> None:
    text = "The limit is five"
    one, two = _passage(text), _passage("days at most. Then it ends.\n", start=len(text))
    for best in (one[0], two[0]):
        found = excerpt(best, [one, two], kind="fact")
        assert found.text(headed=False) == "The limit is five days at most."


def test_steps_begin_after_the_code_of_other_steps() -> None:
    guide = (
        "## Use\n\nRun all:\n\n```\nmake all\n```\n\nRun one with a mark:\n\n```\nmake one\n```\n"
    )
    passage = _passage(guide)
    found = excerpt(passage[2], [passage], kind="steps")
    assert found.text(headed=False) == "Run one with a mark:\nmake one"


def test_lists_that_follow_each_other_answer_for_several_together() -> None:
    text = "It comes with these:\n\nUsed by A:\n\n- x\n\nUsed by B:\n\n- y\n\nThat is all."
    passage = _passage(text)
    found = excerpt(passage[0], [passage], kind="list")
    assert found.text(headed=False) == ("It comes with these:\nUsed by A:\n• x\nUsed by B:\n• y")


def test_steps_do_not_start_with_what_announces_nothing() -> None:
    text = "## Print\n\nHere is the output:\n\n![x](y.png)\n\nCall it so.\n\n```\nprint()\n```\n"
    passage = _passage(text)
    found = excerpt(passage[1], [passage], kind="steps")
    assert found.text(headed=False) == "Call it so.\nprint()"


def test_a_row_answers_alone_where_no_list_is_asked_for() -> None:
    passage = _passage("| name | value |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n")
    assert excerpt(passage[1], [passage], kind="steps").text(headed=False) == "name: b; value: 2"
    assert excerpt(passage[1], [passage], kind="explanation").units == (passage[1],)


def test_a_unit_where_chunks_overlap_is_found_in_each() -> None:
    text = "One is here. Two is here. Three is here. Four is here."
    before, after = _passage(text[:40]), _passage(text[26:], start=26)
    for passages in ([before, after], [after, before]):
        for best in (*before, *after):
            assert excerpt(best, passages, kind="fact").text(headed=False) == best.unit.text
        whole = excerpt(after[0], passages, kind="comparison").text(headed=False)
        assert whole == "Three is here. Four is here."


def test_a_colon_of_another_script_announces_code_and_its_full_stop_ends_a_sentence() -> None:
    text = "安装步骤：\n\n```\npip install x\n```\n"
    units = _passage(text)
    assert excerpt(units[0], [units], kind="fact").text(headed=False) == "安装步骤：\npip install x"
    first, after = _passage("先安装。"), _passage("npm 是工具。", start=4)
    assert excerpt(first[0], [first, after], kind="fact").text(headed=False) == "先安装。"
