from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.training.pairs import Pair, load_pairs, make_folder


def test_pairs_are_read_with_or_without_a_title(pairs: Path, tmp_path: Path) -> None:
    first = load_pairs(pairs)[0]
    assert (first.query, first.passage) == ("What is number 0?", "Numbers\n\nIt is 0.")
    assert Pair(query="a", positive="b").passage == "b"


def test_a_line_that_is_not_a_pair_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "a", "positive": "b"}\n{"query": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: 'positive': Field required"):
        load_pairs(file)


def test_a_folder_is_made_with_those_above_it_or_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be a folder"):
        make_folder(tmp_path / "file" / "b")
