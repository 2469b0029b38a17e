import gzip
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.evaluation.datasets import load_beir

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def _zipped(folder: Path) -> Path:
    for name in FILES:
        path = folder / name
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_reads_plain_and_zipped_sets(beir_set: Path, *, zipped: bool) -> None:
    dataset = load_beir(_zipped(beir_set) if zipped else beir_set)
    assert dataset.name == "animals"
    assert [document.uri for document in dataset.documents] == ["d1", "d2", "3"]
    assert dataset.queries == {"q1": "striped zebra", "q2": "galloping horse"}
    assert dataset.qrels == {"q1": {"d1": 1}, "q2": {"d2": 2, "3": 0}}


def test_a_limit_keeps_the_first_queries_and_the_whole_corpus(beir_set: Path) -> None:
    limited = load_beir(beir_set).limited(1)
    assert (list(limited.queries), len(limited.documents)) == (["q1"], 3)
    assert list(limited.qrels) == ["q1"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No qrels/test\.tsv \(or qrels/test\.tsv\.gz\)"):
        load_beir(tmp_path)


def test_a_broken_line_is_named_with_its_number(beir_set: Path) -> None:
    (beir_set / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n{"_id": broken\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl', line 2"):
        load_beir(beir_set)


def test_a_broken_judgement_is_named_with_its_number(beir_set: Path) -> None:
    (beir_set / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\n")
    with pytest.raises(InputError, match=r"line 2: expected query id, document id and an integer"):
        load_beir(beir_set)


def test_a_damaged_archive_is_an_input_error(beir_set: Path) -> None:
    folder = _zipped(beir_set)
    whole = (folder / "corpus.jsonl.gz").read_bytes()
    (folder / "corpus.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        load_beir(folder)
