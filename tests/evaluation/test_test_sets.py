import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ragkit import Document, InputError, Settings
from ragkit.core.settings import IndexSettings
from ragkit.evaluation.datasets import load_beir, write_beir
from ragkit.evaluation.sections import Section
from ragkit.evaluation.test_sets import (
    GeneratedSet,
    GenerationOptions,
    by_llm,
    from_headings,
    generate_from_files,
    generate_set,
)
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

WORDS = " ".join(f"word{number}" for number in range(25))
TEXT = f"""# The handbook

Of everything. {WORDS}

## Installing the server on Windows

Download the program and start it. {WORDS}

## Installing

### Linux

Use the package. {WORDS}

## Licence

Free.
"""


def _section(uri: str, *path: str, words: int = 25) -> Section:
    text = " ".join(f"word{number}" for number in range(words))
    return Section(document=Document(uri=uri, title="T", text=text, content_hash=uri), path=path)


@pytest.mark.parametrize(
    ("path", "question"),
    [
        (("Handbook", "Installing the server on Windows"), "Installing the server on Windows"),
        (("The handbook", "Installing", "Linux"), "The handbook Installing Linux"),
        (("Handbook", "Licence"), "Handbook Licence"),
        (("Introduction",), None),
        ((), None),
    ],
)
async def test_a_question_has_as_many_headings_as_it_needs(
    path: tuple[str, ...], question: str | None
) -> None:
    assert await from_headings(_section("a", *path)) == question


async def _kept(sections: Sequence[Section], found: dict[str, list[str]]) -> GeneratedSet:
    async def search(question: str) -> list[str]:
        if question not in found:
            raise InputError("no words")
        return found[question]

    return await generate_set(sections, from_headings, search)


async def test_questions_are_kept_whose_section_is_found_again() -> None:
    sections = [
        _section("a", "red striped zebra"),
        _section("b", "large grey elephant"),
        _section("c", "small brown mouse"),
        _section("short", "quick old fox", words=3),
        _section("silent", "Summary"),
    ]
    made = await _kept(
        sections, {"red striped zebra": ["x", "a"], "large grey elephant": ["x", "a"]}
    )
    assert list(made.dataset.queries.values()) == ["red striped zebra"]
    assert list(made.dataset.qrels.values()) == [{"a": 1}]
    assert len(made.dataset.documents) == 5
    assert (made.sections, made.asked, made.kept, made.lost, made.unusable) == (5, 3, 1, 1, 1)


async def test_a_question_that_two_sections_have_is_asked_once() -> None:
    sections = [_section("a", "red striped zebra"), _section("b", "red striped zebra")]
    made = await _kept(sections, {"red striped zebra": ["a", "b"]})
    assert (made.kept, made.repeated) == (1, 1)


async def test_a_limit_is_reached_in_an_order_of_the_seed() -> None:
    sections = [_section(f"s{i}", f"red striped zebra{i}") for i in range(30)]

    async def search(question: str) -> list[str]:
        return [f"s{question.removeprefix('red striped zebra')}"]

    sets = [
        (await generate_set(sections, from_headings, search, limit=5, seed=seed)).dataset.queries
        for seed in (1, 1, 2)
    ]
    assert len(sets[0]) == 5
    assert sets[0] == sets[1] != sets[2]


async def test_a_model_writes_the_question_under_a_grammar() -> None:
    def reply(call: ScriptedCall) -> str:
        word = re.findall(r"word\d+", call.prompt)[0]
        return f'{{"fact":"x","question":"Where is\\n {word}?"}}'

    llm = ScriptedLLM(reply)
    assert await by_llm(llm)(_section("a", "Heading")) == "Where is word0?"
    call = llm.calls[0]
    assert call.grammar is not None
    assert call.options == {"temperature": 0}
    assert call.messages[1].content.startswith("T > Heading\n\nword0")


@pytest.mark.usefixtures("hashing")
async def test_a_set_is_made_of_files_and_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("handbook.md").write_text(TEXT)
    Path("broken.pdf").write_bytes(b"no PDF")
    settings = Settings(index=IndexSettings(search_dimensions=None))
    made, unread = await generate_from_files(settings, [Path()], GenerationOptions())
    assert sorted(made.dataset.queries.values()) == [
        "Installing the server on Windows",
        "The handbook Installing Linux",
    ]
    assert [reason.partition(":")[0].rpartition("/")[2] for reason in unread] == ["broken.pdf"]
    write_beir(made.dataset, Path("set"))
    dataset = load_beir(Path("set"))
    assert dataset.queries == made.dataset.queries
    assert dataset.qrels == made.dataset.qrels
    texts = {document.uri: document.text for document in dataset.documents}
    assert texts == {document.uri: document.text for document in made.dataset.documents}
    with pytest.raises(InputError, match="'set' is not empty"):
        write_beir(made.dataset, Path("set"))


@pytest.mark.usefixtures("hashing")
async def test_documents_without_anything_to_ask_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no text to ask about"):
        await generate_from_files(Settings(), [Path()], GenerationOptions())
    Path("plain.txt").write_text("Nothing but a line.")
    with pytest.raises(InputError, match="None of 0 questions on 1 sections"):
        await generate_from_files(Settings(), [Path()], GenerationOptions())
