"""Judged retrieval sets in the layout of BEIR (Thakur et al. 2021, arXiv:2104.08663)."""

import csv
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ragkit.core.errors import InputError
from ragkit.core.json_lines import json_lines, text_lines
from ragkit.core.types import Document
from ragkit.evaluation.fingerprint import digest

_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
_Id = Annotated[str, BeforeValidator(str)]


class _QueryLine(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: _Id = Field(alias="_id")
    text: _Text


class _CorpusLine(_QueryLine):
    title: _Text = ""


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalDataset:
    """Documents, queries and judgements: `qrels[query id][document id]` is the relevance.

    `notes` name the parts of the files that have no part in figures, or make them lower.
    """

    name: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()

    def limited(self, limit: int | None, *, seed: int | None = None) -> "RetrievalDataset":
        """Return a set with `limit` of the judged queries and the whole corpus.

        They are the first ones, or with a seed a random sample, in their order.
        """
        kept = sampled(list(self.queries), limit, seed)
        return RetrievalDataset(
            name=self.name,
            documents=self.documents,
            queries={query: self.queries[query] for query in kept},
            qrels={query: self.qrels[query] for query in kept},
            notes=self.notes,
        )

    @property
    def corpus_digest(self) -> str:
        """A digest of the documents, in any order."""
        return documents_digest(self.documents)

    @property
    def fingerprints(self) -> dict[str, str]:
        """A digest of each query and its judgements, by query id."""
        return {
            query: digest(text, json.dumps(sorted(self.qrels[query].items())))[:16]
            for query, text in self.queries.items()
        }


def sampled(items: Sequence[T], limit: int | None, seed: int | None) -> list[T]:
    """Return the first `limit` items, or with a seed a random sample of them, in their order."""
    if limit is None or limit >= len(items):
        return list(items)
    if seed is None:
        return list(items[:limit])
    chosen = random.Random(seed).sample(range(len(items)), limit)
    return [items[position] for position in sorted(chosen)]


def documents_digest(documents: Iterable[Document]) -> str:
    """Return a digest of documents, in any order."""
    return digest(*sorted(f"{item.uri} {item.content_hash}" for item in documents))


def load_beir(folder: Path, *, split: str = "test") -> RetrievalDataset:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each possibly with `.gz`.

    Only queries with a judgement above zero are kept; `notes` count the others, and the judged
    documents that the corpus lacks.

    Raises:
        InputError: A file is missing, a line is not of this form, or an id occurs twice.
    """
    qrels = _qrels(_file(folder, f"qrels/{split}.tsv"))
    file = _file(folder, "queries.jsonl")
    queries: dict[str, str] = {}
    for line in json_lines(file, _QueryLine):
        if queries.setdefault(line.id, line.text) != line.text:
            raise InputError(f"{str(file)!r} has two different queries with the id {line.id!r}.")
    judged = {
        query: judgements
        for query, judgements in qrels.items()
        if query in queries and any(value > 0 for value in judgements.values())
    }
    if not judged:
        raise InputError(f"{str(folder)!r} has no query with a judgement in qrels/{split}.tsv.")
    corpus = _file(folder, "corpus.jsonl")
    documents = tuple(
        Document(
            uri=line.id,
            title=line.title,
            text=line.text,
            content_hash=hashlib.sha256(f"{line.title}\n{line.text}".encode()).hexdigest(),
        )
        for line in json_lines(corpus, _CorpusLine)
    )
    if not documents:
        raise InputError(f"{str(corpus)!r} has no document.")
    return RetrievalDataset(
        name=folder.resolve().name,
        documents=documents,
        queries={query: text for query, text in queries.items() if query in judged},
        qrels=judged,
        notes=tuple(_notes(documents, queries, qrels, judged)),
    )


def _notes(
    documents: Sequence[Document],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    judged: Mapping[str, Mapping[str, int]],
) -> Iterator[str]:
    uris = {document.uri for document in documents}
    relevant = {uri for values in judged.values() for uri, value in values.items() if value > 0}
    if missing := sorted(relevant - uris):
        yield f"Relevant documents missing in the corpus: {len(missing)}, such as {missing[0]!r}."
    if unjudged := [query for query in queries if query not in judged]:
        yield f"Queries without a relevant document: {len(unjudged)}, such as {unjudged[0]!r}."
    if unknown := [query for query in qrels if query not in queries]:
        yield f"Judged queries without a text: {len(unknown)}, such as {unknown[0]!r}."


def write_beir(dataset: RetrievalDataset, folder: Path) -> None:
    """Write a data set as `load_beir` reads it.

    Raises:
        InputError: The folder is not empty, or it cannot be written.
    """
    documents = ({"_id": d.uri, "title": d.title, "text": d.text} for d in dataset.documents)
    queries = ({"_id": query, "text": text} for query, text in dataset.queries.items())
    judged = [
        f"{query}\t{document}\t{value}\n"
        for query, judgements in dataset.qrels.items()
        for document, value in judgements.items()
    ]
    check_new(folder)
    try:
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text(_json_lines(documents), encoding="utf-8")
        (folder / "queries.jsonl").write_text(_json_lines(queries), encoding="utf-8")
        (folder / "qrels/test.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(judged), encoding="utf-8"
        )
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be written: {error.strerror or error}") from error


def check_new(folder: Path) -> None:
    """Raise `InputError` unless this path is free or an empty folder."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} is not empty. Fix: name a new folder for the set.")


def _json_lines(items: Iterable[Mapping[str, str]]) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(
        f"No {name} (or {name}.gz) in {str(folder)!r}: a data set has corpus.jsonl, "
        "queries.jsonl and qrels/test.tsv."
    )


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    # Ids are taken as they are: a quotation mark is a part of them.
    rows = csv.reader(text_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, start=1):
        header = number == 1 and len(row) == 3 and not any(map(str.isdigit, row[2]))
        if not row or header:
            continue
        try:
            query, document, value = row
            relevance = int(value)
        except ValueError as error:
            raise InputError(
                f"{str(path)!r}, line {number}: expected query id, document id and an integer, "
                f"separated by tabs, got {row!r}."
            ) from error
        if qrels.setdefault(query, {}).setdefault(document, relevance) != relevance:
            raise InputError(
                f"{str(path)!r}, line {number}: another judgement of {document!r} for the query "
                f"{query!r} stands above."
            )
    return qrels
