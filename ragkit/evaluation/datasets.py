"""Judged retrieval sets in the layout of BEIR (Thakur et al. 2021, arXiv:2104.08663)."""

import csv
import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.types import Document

_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
_Id = Annotated[str, BeforeValidator(str)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: _Id = Field(alias="_id")
    text: _Text


class _CorpusLine(_Line):
    title: _Text = ""


M = TypeVar("M", bound=_Line)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalDataset:
    """Documents, queries and judgements: `qrels[query id][document id]` is the relevance."""

    name: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def limited(self, limit: int | None) -> "RetrievalDataset":
        """The same with the first `limit` judged queries only; the corpus stays whole."""
        kept = list(self.queries)[:limit]
        return RetrievalDataset(
            name=self.name,
            documents=self.documents,
            queries={query: self.queries[query] for query in kept},
            qrels={query: self.qrels[query] for query in kept},
        )


def load_beir(folder: Path, *, split: str = "test") -> RetrievalDataset:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each possibly with `.gz`.

    Only queries with a judgement above zero are kept.

    Raises:
        InputError: A file is missing, or a line of it is not of this form.
    """
    qrels = _qrels(_file(folder, f"qrels/{split}.tsv"))
    queries = {item.id: item.text for item in _lines(_file(folder, "queries.jsonl"), _Line)}
    judged = {
        query: judgements
        for query, judgements in qrels.items()
        if query in queries and any(value > 0 for value in judgements.values())
    }
    if not judged:
        raise InputError(f"{str(folder)!r} has no query that its qrels/{split}.tsv judges.")
    documents = tuple(
        _document(item) for item in _lines(_file(folder, "corpus.jsonl"), _CorpusLine)
    )
    return RetrievalDataset(
        name=folder.resolve().name,
        documents=documents,
        queries={query: text for query, text in queries.items() if query in judged},
        qrels=judged,
    )


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(
        f"No {name} (or {name}.gz) in {str(folder)!r}: a data set has corpus.jsonl, "
        "queries.jsonl and qrels/test.tsv."
    )


def _open_lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error


def _lines(path: Path, model: type[M]) -> Iterator[M]:
    for number, line in enumerate(_open_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            raise InputError(f"{str(path)!r}, line {number}: {error.errors()[0]['msg']}") from error


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, row in enumerate(csv.reader(_open_lines(path), delimiter="\t"), start=1):
        if number == 1 and row and not row[-1].strip().lstrip("-").isdigit():
            continue  # The header.
        try:
            query, document, value = row
            qrels.setdefault(query, {})[document] = int(value)
        except ValueError as error:
            raise InputError(
                f"{str(path)!r}, line {number}: expected query id, document id and an integer, "
                f"separated by tabs, got {row!r}."
            ) from error
    return qrels


def _document(line: _CorpusLine) -> Document:
    digest = hashlib.sha256(f"{line.title}\n{line.text}".encode()).hexdigest()
    return Document(uri=line.id, title=line.title, text=line.text, content_hash=digest)
