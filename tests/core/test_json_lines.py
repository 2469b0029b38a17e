import gzip
from pathlib import Path

import pytest
from pydantic import BaseModel

from ragkit import InputError
from ragkit.core.json_lines import json_lines, text_lines


class Row(BaseModel):
    number: int


def test_lines_are_read_as_models_and_empty_ones_skipped(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('\ufeff{"number": 1}\n\n  \n{"number": 2}', encoding="utf-8")
    assert [row.number for row in json_lines(file, Row)] == [1, 2]


def test_a_compressed_file_is_read_as_a_plain_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"number": 1}\n', mtime=0))
    assert [row.number for row in json_lines(file, Row)] == [1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("damaged.jsonl.gz", gzip.compress(b'{"number": 1}\n' * 100, mtime=0)[:-20]),
        ("plain.jsonl.gz", b'{"number": 1}\n'),
        ("latin.jsonl", b'{"number": "\xe9"}\n'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}' cannot be read"):
        list(text_lines(tmp_path / name))
    with pytest.raises(InputError, match=r"missing\.jsonl' cannot be read"):
        list(text_lines(tmp_path / "missing.jsonl"))


def test_a_line_that_does_not_fit_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"number": 1}\n\n{"count": 2}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 3: 'number': Field required"):
        list(json_lines(file, Row))
