"""Questions with judged passages, sentences or spans, for fitting and measuring answerers."""

import csv
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragkit import Document
from ragkit.core.types import Citation, Hit
from training.questions import squad

Kind: TypeAlias = Literal["answerable", "near", "absent"]
"""With the answer among the documents; with the passages of the answer taken away, or on the same
topic only; on a topic that the documents are not about."""
Half: TypeAlias = Literal["fit", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuestion:
    """A question and what is known of its answer.

    Attributes:
        query: The question.
        kind: Whether the documents answer it.
        relevant: The uris of documents that answer it.
        spans: Start and end of what answers it, by uri, where that is known more closely.
        answers: Short answers, where the set has them.
    """

    query: str
    kind: Kind
    relevant: frozenset[str] = frozenset()
    spans: tuple[tuple[str, int, int], ...] = ()
    answers: tuple[str, ...] = ()

    @property
    def half(self) -> Half:
        """The half of the questions that it belongs to, by a hash of its words."""
        return "fit" if hashlib.sha256(self.query.encode()).digest()[0] % 2 else "test"

    def answered_by(self, uri: str, start: int, end: int, text: str) -> bool:
        """Return True where `document.text[start:end]` holds the answer, as far as is known."""
        if self.kind != "answerable":
            return False
        if self.answers:
            return any(words(answer) in words(text) for answer in self.answers)
        if self.spans:
            return any(
                2 * (min(end, last) - max(start, first)) > min(end - start, last - first)
                for other, first, last in self.spans
                if other == uri
            )
        return uri in self.relevant

    def near(self, hits: Sequence[Hit], count: int) -> list[Hit]:
        """Return the first hits that hold no answer."""
        return [hit for hit in hits if not self._holds(hit)][:count]

    def _holds(self, hit: Hit) -> bool:
        chunk = hit.chunk
        if self.answers:
            return any(words(answer) in words(chunk.text) for answer in self.answers)
        if self.spans:
            return any(
                uri == chunk.uri and first < chunk.end and last > chunk.start
                for uri, first, last in self.spans
            )
        return chunk.uri in self.relevant

    def overlap(self, citations: Sequence[Citation]) -> tuple[float, float]:
        """Return recall and precision of the cited characters against the known spans."""
        wanted = {(uri, at) for uri, first, last in self.spans for at in range(first, last)}
        cited = {(one.uri, at) for one in citations for at in range(one.start, one.end)}
        common = len(wanted & cited)
        return common / max(1, len(wanted)), common / max(1, len(cited))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSet:
    """Documents and questions about them; `stray` questions are about something else."""

    name: str
    documents: tuple[Document, ...]
    questions: tuple[JudgedQuestion, ...]
    stray: tuple[str, ...]

    def sampled(self, half: Half, *, count: int) -> list[JudgedQuestion]:
        """Return up to `count` answerable questions of a half, and others.

        A third as many are asked without the passages of the answer (for clapnq its unanswerable
        questions, as many), a quarter as many are stray.
        """
        mine = [item for item in self.questions if item.half == half]
        stray = [JudgedQuestion(query=query, kind="absent") for query in self.stray]
        stray = [item for item in stray if item.half == half]
        draw = random.Random(0)
        draw.shuffle(mine)
        answerable = [item for item in mine if item.kind == "answerable"]
        near = [item for item in mine if item.kind == "near"]
        near = near or [replace(item, kind="near") for item in answerable[::-1]]
        return [
            *answerable[:count],
            *near[: count if self.name == "clapnq" else count // 3],
            *draw.sample(stray, min(len(stray), count // 4)),
        ]


def answer_sets(data: Path) -> dict[str, Callable[[], AnswerSet]]:
    """Return the sets under a folder by name, each read when it is called."""
    technical = ("anthropic_docs", "cookbook_code", "emanual_s10")
    return {
        "squad": lambda: _squad(data),
        "clapnq": lambda: _clapnq(data),
        "chunking_eval": lambda: _chunking(data),
        **{name: _beir_loader(data, name) for name in technical},
    }


def words(text: str) -> str:
    """Return the words of a text in lower case, with a space around each."""
    return f" {' '.join(''.join(c if c.isalnum() else ' ' for c in text.lower()).split())} "


def _beir_loader(data: Path, name: str) -> Callable[[], AnswerSet]:
    def load() -> AnswerSet:
        return _beir(data, name)

    return load


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    packed = file.with_name(file.name + ".gz")
    with gzip.open(packed, "rt") if packed.exists() else file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _document(uri: str, title: str, text: str) -> Document:
    digest = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()
    return Document(uri=uri or digest[:24], title=title, text=text, content_hash=digest)


def _beir_questions(data: Path, name: str) -> tuple[str, ...]:
    return tuple(row["text"] for row in _rows(data / "beir" / name / "queries.jsonl"))


def _beir(data: Path, name: str) -> AnswerSet:
    folder = data / "beir" / name
    relevant: dict[str, set[str]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query, document, grade = line.rstrip("\n").split("\t")
            if float(grade) > 0:
                relevant.setdefault(query, set()).add(document)
    return AnswerSet(
        name=name,
        documents=tuple(
            _document(row["_id"], row.get("title", ""), row["text"])
            for row in _rows(folder / "corpus.jsonl")
            if row["text"].strip()
        ),
        questions=tuple(
            JudgedQuestion(
                query=row["text"], kind="answerable", relevant=frozenset(relevant[row["_id"]])
            )
            for row in _rows(folder / "queries.jsonl")
            if row["_id"] in relevant
        ),
        stray=_beir_questions(data, "squad_dev")[:2000],
    )


def _squad(data: Path) -> AnswerSet:
    asked = list(squad(data / "qa" / "squad-dev-v1.1.json"))
    passages = {(item.title, item.text): _document("", item.title, item.text) for item in asked}
    return AnswerSet(
        name="squad",
        documents=tuple(passages.values()),
        questions=tuple(
            JudgedQuestion(
                query=item.query,
                kind="answerable",
                relevant=frozenset({passages[item.title, item.text].uri}),
                answers=item.answers,
            )
            for item in asked
        ),
        stray=_beir_questions(data, "anthropic_docs"),
    )


def _clapnq(data: Path) -> AnswerSet:
    documents: dict[str, Document] = {}
    questions: list[JudgedQuestion] = []
    for known in ("answerable", "unanswerable"):
        for row in _rows(data / "qa" / "clapnq" / f"clapnq_dev_{known}.jsonl"):
            passage = row["passages"][0]
            document = _document("", passage["title"], passage["text"])
            documents[document.uri] = document
            selected = [text for gold in row["output"] for text in gold["selected_sentences"]]
            found = [
                (document.uri, at, at + len(text))
                for text in selected
                if (at := document.text.find(text)) >= 0
            ]
            if known == "unanswerable":
                questions.append(JudgedQuestion(query=row["input"], kind="near"))
            elif found:
                questions.append(
                    JudgedQuestion(
                        query=row["input"],
                        kind="answerable",
                        relevant=frozenset({document.uri}),
                        spans=tuple(found),
                    )
                )
    stray = _beir_questions(data, "anthropic_docs")
    return AnswerSet(
        name="clapnq",
        documents=tuple(documents.values()),
        questions=tuple(questions),
        stray=stray,
    )


def _chunking(data: Path) -> AnswerSet:
    folder = data / "qa" / "chunking_evaluation"
    files = sorted((folder / "corpora").iterdir())
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as lines:
        questions = [
            JudgedQuestion(
                query=row["question"],
                kind="answerable",
                relevant=frozenset({row["corpus_id"]}),
                spans=tuple(
                    (row["corpus_id"], span["start_index"], span["end_index"])
                    for span in json.loads(row["references"])
                ),
            )
            for row in csv.DictReader(lines)
        ]
    return AnswerSet(
        name="chunking_eval",
        documents=tuple(
            _document(file.stem, file.stem.replace("_", " "), file.read_text(encoding="utf-8"))
            for file in files
        ),
        questions=tuple(questions),
        stray=_beir_questions(data, "anthropic_docs"),
    )
