"""Test sets of a user's own documents: questions from headings or by a language model."""

import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ragkit.core.errors import InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.protocols import LLM
from ragkit.core.settings import Settings
from ragkit.core.text import terms
from ragkit.core.types import Message
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.folder import EvaluationFolder
from ragkit.evaluation.sections import Section, sections_of
from ragkit.grammar.grammar import json_grammar
from ragkit.ingest.build import build_reader
from ragkit.ingest.sources import load_files
from ragkit.llm.prompts import prompt_file
from ragkit.sdk import AsyncRAG

LEAST_WORDS = 20
"""A section with fewer words is not asked about."""
_LEAST_TERMS = 3
_LONGEST_PASSAGE = 6000

Search: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the ids of the documents found for a question, best first."""
Ask: TypeAlias = Callable[[Section], Awaitable[str | None]]
"""Returns a question on a section, or None if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedSet:
    """A test set with the counts of its making.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """Options of making a test set.

    Attributes:
        first: A question is kept if its section is among this many found.
        limit: Maximum number of questions.
        seed: Of the order in which sections are asked about.
        llm: Ask the language model of the settings, instead of taking headings.
    """

    first: int = 10
    limit: int | None = None
    seed: int = 0
    llm: bool = False


async def generate_from_files(
    settings: Settings,
    paths: Sequence[Path],
    options: GenerationOptions,
    *,
    on_progress: OnProgress | None = None,
) -> tuple[GeneratedSet, list[str]]:
    """Make a test set; also return the files that could not be read, each with its reason.

    Each section of a document is a document of the set. Headings that became questions are not in
    it, or finding them again would be no test; with a language model's questions, they are.

    Raises:
        InputError: The files have no section to ask about, or no question was kept.
    """
    documents, failed = await load_files(paths, build_reader(settings))
    unread = [f"{failure.uri}: {failure.reason}" for failure in failed]
    sections = [
        section for document in documents for section in sections_of(document, headed=options.llm)
    ]
    if not sections:
        reasons = f" ({unread[0]})" if unread else ""
        raise InputError(f"There is no text to ask about in {', '.join(map(str, paths))}{reasons}.")
    generation = _Generation(settings, sections, options, on_progress)
    if not options.llm:
        return await generation.run(from_headings), unread
    async with EvaluationFolder().cached_llm(settings.llm) as llm:
        return await generation.run(by_llm(llm)), unread


@dataclass(frozen=True, slots=True)
class _Generation:
    settings: Settings
    sections: Sequence[Section]
    options: GenerationOptions
    on_progress: OnProgress | None

    async def run(self, ask: Ask) -> GeneratedSet:
        """Index the sections without a reranker, and make the set over that index."""
        unreranked = self.settings.reranker.model_copy(update={"model": None})
        plain = self.settings.model_copy(update={"reranker": unreranked})
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            async with AsyncRAG(plain, index=index, on_progress=self.on_progress) as rag:
                await rag.ingest(*(section.document for section in self.sections))

                async def search(question: str) -> list[str]:
                    hits = await rag.search(question, k=2 * self.options.first)
                    uris = dict.fromkeys(hit.chunk.uri for hit in hits)
                    return list(uris)[: self.options.first]

                made = await generate_set(
                    self.sections,
                    ask,
                    search,
                    limit=self.options.limit,
                    seed=self.options.seed,
                    on_progress=self.on_progress,
                )
        if not made.kept:
            raise InputError(
                f"None of {made.asked} questions on {made.sections} sections could be kept "
                f"({made.repeated} repeated, {made.unusable} unusable, {made.lost} not found "
                "again). Fix: use documents with headings over sections of 20 words or more, or "
                "a better --llm."
            )
        return made


async def from_headings(section: Section) -> str | None:
    """Return the section's heading, with those above it until it has three content words."""
    question: list[str] = []
    for heading in reversed(section.path):
        question.insert(0, heading)
        if len(set(terms(" ".join(question)))) >= _LEAST_TERMS:
            return " ".join(question)
    return " ".join(question) if len(set(terms(" ".join(question)))) > 1 else None


class _WrittenQuestion(BaseModel):
    """A model's question; the fact comes first, so that the question has an answer."""

    model_config = ConfigDict(extra="forbid")

    fact: str = Field(min_length=1, max_length=300)
    question: str = Field(min_length=1, max_length=300)


def by_llm(llm: LLM) -> Ask:
    """Ask a language model for questions, under a grammar and at temperature 0."""
    grammar = json_grammar(_WrittenQuestion)

    async def ask(section: Section) -> str | None:
        header = " > ".join((section.document.title, *section.path))
        passage = section.document.text[:_LONGEST_PASSAGE]
        messages = [
            Message(role="system", content=prompt_file("ragkit.evaluation", "question")),
            Message(role="user", content=f"{header}\n\n{passage}"),
        ]
        reply = await llm.complete(messages, grammar=grammar, temperature=0)
        written: _WrittenQuestion = grammar.parse(reply.text)
        return " ".join(written.question.split()) or None

    return ask


async def generate_set(
    sections: Sequence[Section],
    ask: Ask,
    search: Search,
    *,
    limit: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> GeneratedSet:
    """Make questions on sections in random order, and keep those whose section is found again.

    Args:
        sections: All that are searched; those of fewer than 20 words are not asked about.
        ask: Returns a question on a section.
        search: Returns the ids among which a question's section must be.
        limit: Maximum number of questions.
        seed: Of the order.
        on_progress: Called for each section.
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
    return GeneratedSet(
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
