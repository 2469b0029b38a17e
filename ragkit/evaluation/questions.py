"""Questions with gold answers on paragraphs, in the layout of SQuAD 1.1 and 2.0."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.json_lines import UNREADABLE
from ragkit.core.types import Document
from ragkit.evaluation.datasets import documents_digest, sampled
from ragkit.evaluation.fingerprint import digest

Given: TypeAlias = Literal["search", "paragraph"]
"""The answerer's passages: the hits of a search over all paragraphs, or the question's own."""


class _SquadModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _SquadAnswer(_SquadModel):
    text: str


class _SquadQuestion(_SquadModel):
    id: str
    question: str
    answers: list[_SquadAnswer] = []
    is_impossible: bool = False


class _SquadParagraph(_SquadModel):
    context: str
    qas: list[_SquadQuestion]


class _SquadArticle(_SquadModel):
    title: str = ""
    paragraphs: list[_SquadParagraph]


class _SquadFile(_SquadModel):
    data: list[_SquadArticle]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldQuestion:
    """A question, its accepted answers (none if it has no answer), and its paragraph's uri."""

    id: str
    question: str
    gold: tuple[str, ...]
    paragraph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Questions, and the paragraphs that they are asked on, by uri."""

    name: str
    paragraphs: Mapping[str, Document]
    items: tuple[GoldQuestion, ...]

    def limited(self, limit: int | None, *, seed: int | None = None) -> "QuestionSet":
        """Return a set with `limit` of the questions (see `sampled`) and all paragraphs."""
        return replace(self, items=tuple(sampled(self.items, limit, seed)))

    @property
    def corpus_digest(self) -> str:
        """A digest of the paragraphs, in any order."""
        return documents_digest(self.paragraphs.values())

    @property
    def fingerprints(self) -> dict[str, str]:
        """A digest of each question and its gold answers, by id."""
        return {
            item.id: digest(item.question, item.paragraph, json.dumps(sorted(item.gold)))[:16]
            for item in self.items
        }


def load_squad(path: Path) -> QuestionSet:
    """Read a file in the layout of SQuAD (Rajpurkar et al. 2016, 2018), possibly with `.gz`.

    Raises:
        InputError: The file is missing, is not of this layout, or repeats a question's id.
    """
    paragraphs: dict[str, Document] = {}
    items: dict[str, GoldQuestion] = {}
    for article in _read(path).data:
        title = article.title.replace("_", " ")
        for paragraph in article.paragraphs:
            uri = f"{article.title}/{len(paragraphs)}"
            paragraphs[uri] = Document(
                uri=uri,
                title=title,
                text=paragraph.context,
                content_hash=digest(title, paragraph.context),
            )
            for question in paragraph.qas:
                if question.id in items:
                    raise InputError(f"{str(path)!r} has the question {question.id!r} twice.")
                accepted = [] if question.is_impossible else question.answers
                items[question.id] = GoldQuestion(
                    id=question.id,
                    question=question.question,
                    gold=tuple(dict.fromkeys(answer.text for answer in accepted)),
                    paragraph=uri,
                )
    if not items:
        raise InputError(f"{str(path)!r} has no question.")
    name = path.name.removesuffix(".gz").removesuffix(".json")
    return QuestionSet(name=name, paragraphs=paragraphs, items=tuple(items.values()))


def _read(path: Path) -> _SquadFile:
    try:
        data = path.read_bytes()
        return _SquadFile.model_validate_json(
            gzip.decompress(data) if path.suffix == ".gz" else data
        )
    except UNREADABLE as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{str(path)!r} is not in the layout of SQuAD ({where}: {first['msg']}): expected "
            "data, paragraphs, qas."
        ) from error
