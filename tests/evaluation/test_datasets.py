import gzip
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.evaluation.datasets import load_beir

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def _zipped(folder: Path) -> Path:
    for name in FILES:
        path = folder / name
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
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


def test_damage_inside_an_archive_is_an_input_error(beir_set: Path) -> None:
    folder = _zipped(beir_set)
    whole = bytearray((folder / "corpus.jsonl.gz").read_bytes())
    whole[20:28] = b"\xff" * 8
    (folder / "corpus.jsonl.gz").write_bytes(whole)
    with pytest.raises(InputError, match="cannot be read"):
        load_beir(folder)


def test_quotation_marks_in_ids_stay(beir_set: Path) -> None:
    (beir_set / "qrels/test.tsv").write_text('q1\t"d1\t1\nq2\td2"\t2\n\n')
    assert load_beir(beir_set).qrels == {"q1": {'"d1': 1}, "q2": {'d2"': 2}}


@pytest.mark.parametrize("first", ["q1\td1", "q1\td1\t1.0", "q1\t0\td1\t1"])
def test_a_first_judgement_is_not_taken_for_a_header(beir_set: Path, first: str) -> None:
    (beir_set / "qrels/test.tsv").write_text(f"{first}\nq2\td2\t1\n")
    with pytest.raises(InputError, match="line 1: expected query id"):
        load_beir(beir_set)


def test_what_is_there_twice_and_otherwise_is_named(beir_set: Path) -> None:
    (beir_set / "qrels/test.tsv").write_text("q1\td1\t1\nq1\td1\t1\nq1\td1\t0\n")
    with pytest.raises(InputError, match="line 3: another judgement of 'd1'"):
        load_beir(beir_set)
    (beir_set / "qrels/test.tsv").write_text("q1\td1\t1\n")
    twice = '{"_id": "q1", "text": "a"}\n{"_id": "q1", "text": "b"}\n'
    (beir_set / "queries.jsonl").write_text(twice)
    with pytest.raises(InputError, match="two different queries with the id 'q1'"):
        load_beir(beir_set)


def test_what_has_no_part_in_the_figures_is_counted(beir_set: Path) -> None:
    (beir_set / "qrels/test.tsv").write_text("q1\td1\t1\nq1\tgone\t1\nq2\td2\t0\nq9\td1\t1\n")
    dataset = load_beir(beir_set)
    assert list(dataset.queries) == ["q1"]
    assert dataset.notes == (
        "Relevant documents missing in the corpus: 1, such as 'gone'.",
        "Queries without a relevant document: 2, such as 'q2'.",
        "Judged queries without a text: 1, such as 'q9'.",
    )
    assert dataset.limited(1).notes == dataset.notes


def test_a_set_without_documents_is_refused(beir_set: Path) -> None:
    (beir_set / "corpus.jsonl").write_text("")
    with pytest.raises(InputError, match="has no document"):
        load_beir(beir_set)
