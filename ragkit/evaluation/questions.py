"""Questions with gold answers on paragraphs, in the layout of SQuAD 1.1 and 2.0."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.evaluation.checkpoint import digest
from ragkit.evaluation.datasets import UNREADABLE, documents_digest, sampled


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Answer(_Part):
    text: str


class _Question(_Part):
    id: str
    question: str
    answers: list[_Answer] = []
    is_impossible: bool = False


class _Paragraph(_Part):
    context: str
    qas: list[_Question]


class _Article(_Part):
    title: str = ""
    paragraphs: list[_Paragraph]


class _File(_Part):
    data: list[_Article]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A question, its accepted answers (none where it has no answer), and its paragraph's uri."""

    id: str
    question: str
    gold: tuple[str, ...]
    paragraph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Questions, and the paragraphs that they are asked on, by uri."""

    name: str
    paragraphs: Mapping[str, Document]
    items: tuple[Item, ...]

    def limited(self, limit: int | None, *, seed: int | None = None) -> "QuestionSet":
        """The same with `limit` questions (see `sampled`); all paragraphs stay."""
        return replace(self, items=tuple(sampled(self.items, limit, seed)))

    @property
    def corpus_digest(self) -> str:
        """A digest of the paragraphs, in whatever order."""
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
    items: dict[str, Item] = {}
    for article in _read(path).data:
        title = article.title.replace("_", " ")
        for paragraph in article.paragraphs:
            uri = f"{article.title}/{len(paragraphs)}"
            paragraphs[uri] = _document(uri, title, paragraph.context)
            for question in paragraph.qas:
                if question.id in items:
                    raise InputError(f"{str(path)!r} has the question {question.id!r} twice.")
                items[question.id] = _item(question, uri)
    if not items:
        raise InputError(f"{str(path)!r} has no question.")
    name = path.name.removesuffix(".gz").removesuffix(".json")
    return QuestionSet(name=name, paragraphs=paragraphs, items=tuple(items.values()))


def _read(path: Path) -> _File:
    try:
        data = path.read_bytes()
        return _File.model_validate_json(gzip.decompress(data) if path.suffix == ".gz" else data)
    except UNREADABLE as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{str(path)!r} is not in the layout of SQuAD ({where}: {first['msg']}): expected "
            "data, paragraphs, qas."
        ) from error


def _document(uri: str, title: str, text: str) -> Document:
    return Document(uri=uri, title=title, text=text, content_hash=digest(title, text))


def _item(question: _Question, uri: str) -> Item:
    texts = () if question.is_impossible else (answer.text for answer in question.answers)
    return Item(
        id=question.id, question=question.question, gold=tuple(dict.fromkeys(texts)), paragraph=uri
    )
