"""Making a test set of one's own documents: questions from headings or by a language model."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, OnProgress, Progress
from ragkit.core.text import terms
from ragkit.core.types import Document, Message
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.grammar.grammar import json_grammar
from ragkit.llm.prompts import prompt_file

LEAST_WORDS = 20
"""Words that a section has at least to be asked about."""
_TELLING = 3
_LONGEST_PASSAGE = 6000

Search: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the ids of the documents found for a question, best first."""
Ask: TypeAlias = Callable[["Section"], Awaitable[str | None]]
"""Makes a question on a section, or None where there is none to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What stands under a heading: `document` is its text, `path` the headings above it."""

    document: Document
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A test set and how it came about.

    Attributes:
        dataset: The questions that were kept, each judged for its section.
        sections: Number of sections.
        asked: Questions that were made.
        repeated: Questions dropped because another section had the same.
        unusable: Questions dropped because they could not be searched for.
        lost: Questions dropped because their section was not among the first found.
    """

    dataset: RetrievalDataset
    sections: int
    asked: int
    repeated: int
    unusable: int
    lost: int

    @property
    def kept(self) -> int:
        """Questions in the set."""
        return len(self.dataset.queries)


async def from_headings(section: Section) -> str | None:
    """The section's heading, with those above it as far as it needs them to be telling."""
    question: list[str] = []
    for heading in reversed(section.path):
        question.insert(0, heading)
        if len(set(terms(" ".join(question)))) >= _TELLING:
            return " ".join(question)
    return " ".join(question) if len(set(terms(" ".join(question)))) > 1 else None


class _Written(BaseModel):
    """What the model writes; the fact comes first, so that the question has an answer."""

    model_config = ConfigDict(extra="forbid")

    fact: str = Field(min_length=1, max_length=300)
    question: str = Field(min_length=1, max_length=300)


def by_llm(llm: LLM) -> Ask:
    """Questions written by a language model under a grammar, at temperature 0."""
    grammar = json_grammar(_Written)

    async def ask(section: Section) -> str | None:
        header = " > ".join((section.document.title, *section.path))
        passage = section.document.text[:_LONGEST_PASSAGE]
        messages = [
            Message(role="system", content=prompt_file("ragkit.evaluation", "question")),
            Message(role="user", content=f"{header}\n\n{passage}"),
        ]
        reply = await llm.complete(messages, grammar=grammar, temperature=0)
        written: _Written = grammar.parse(reply.text)
        return " ".join(written.question.split()) or None

    return ask


async def make_set(
    sections: Sequence[Section],
    ask: Ask,
    search: Search,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Made:
    """Make questions on sections in random order, and keep those whose section is found again.

    Args:
        sections: All that are searched; those of fewer than 20 words are not asked about.
        ask: Makes a question.
        search: Gives the ids among which a question's section must be.
        limit: Enough questions.
        seed: Of the order.
        on_progress: Told of each section.
    """
    candidates = [item for item in sections if len(item.document.text.split()) >= LEAST_WORDS]
    random.Random(seed).shuffle(candidates)
    kept: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for done, section in enumerate(candidates):
        if limit is not None and len(kept) >= limit:
            break
        if on_progress is not None:
            on_progress(Progress(phase="ask", done=done, total=len(candidates)))
        question = await ask(section)
        if question is not None:
            verdict = await _verdict(question, section, kept, search)
            counts[verdict] += 1
            if verdict == "kept":
                kept[question] = section.document.uri
    return Made(
        dataset=_dataset(sections, kept),
        sections=len(sections),
        asked=counts.total(),
        repeated=counts["repeated"],
        unusable=counts["unusable"],
        lost=counts["lost"],
    )


async def _verdict(question: str, section: Section, kept: Mapping[str, str], search: Search) -> str:
    if question in kept:
        return "repeated"
    try:
        found = await search(question)
    except InputError:
        return "unusable"
    return "kept" if section.document.uri in found else "lost"


def _dataset(sections: Sequence[Section], kept: Mapping[str, str]) -> RetrievalDataset:
    queries = {f"q{number}": question for number, question in enumerate(kept, start=1)}
    return RetrievalDataset(
        name="made",
        documents=tuple(section.document for section in sections),
        queries=queries,
        qrels={query: {kept[question]: 1} for query, question in queries.items()},
    )
