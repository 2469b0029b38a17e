import gzip
import json
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.evaluation.questions import load_squad


def _question(name: str, question: str, *answers: str, impossible: bool = False) -> object:
    return {
        "id": name,
        "question": question,
        "answers": [{"text": text, "answer_start": 0} for text in answers],
        "is_impossible": impossible,
    }


def _file(path: Path, *questions: object) -> Path:
    contexts = {"It has stripes.": questions, "It runs.": ()}
    data = [
        {"title": "The_Zebra", "paragraphs": [{"context": context, "qas": asked}]}
        for context, asked in contexts.items()
    ]
    text = json.dumps({"version": "v2.0", "data": data})
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["animals.json", "animals.json.gz"])
def test_questions_are_read_with_their_paragraphs(tmp_path: Path, name: str) -> None:
    dataset = load_squad(
        _file(
            tmp_path / name,
            _question("q1", "What has it?", "stripes", "stripes", "Stripes."),
            _question("q2", "Who owns it?", "nobody", impossible=True),
        )
    )
    assert dataset.name == "animals"
    assert [item.gold for item in dataset.items] == [("stripes", "Stripes."), ()]
    assert [item.title for item in dataset.paragraphs.values()] == ["The Zebra", "The Zebra"]
    assert dataset.paragraphs[dataset.items[0].paragraph].text == "It has stripes."


def test_a_limit_keeps_a_sample_and_every_paragraph(tmp_path: Path) -> None:
    questions = [_question(f"q{number}", "What?", "stripes") for number in range(50)]
    dataset = load_squad(_file(tmp_path / "x.json", *questions))
    sample = dataset.limited(10, seed=1)
    assert len(sample.items) == 10
    assert sample.paragraphs == dataset.paragraphs
    assert sample.items == dataset.limited(10, seed=1).items != dataset.limited(10, seed=2).items
    assert dataset.limited(3).items == dataset.items[:3]


def test_fingerprints_tell_questions_and_gold_answers_apart(tmp_path: Path) -> None:
    one = load_squad(_file(tmp_path / "x.json", _question("q1", "What?", "a", "b")))
    same = load_squad(_file(tmp_path / "x.json", _question("q1", "What?", "b", "a")))
    other = load_squad(_file(tmp_path / "x.json", _question("q1", "What?", "a")))
    assert one.fingerprints == same.fingerprints != other.fingerprints
    assert one.corpus_digest == other.corpus_digest


def test_what_is_no_set_of_questions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read"):
        load_squad(path)
    path.write_text('{"data": [{"title": "x"}]}')
    with pytest.raises(InputError, match=r"layout of SQuAD \(data\.0\.paragraphs: Field required"):
        load_squad(path)
    with pytest.raises(InputError, match="has no question"):
        load_squad(_file(path))
    with pytest.raises(InputError, match="has the question 'q1' twice"):
        load_squad(_file(path, _question("q1", "a", "b"), _question("q1", "a", "b")))
