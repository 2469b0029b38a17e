"""Making a test set of files: divide them into sections, ask, search for each question again."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, OnProgress
from ragkit.core.settings import Settings
from ragkit.core.types import Document
from ragkit.evaluation.checkpoint import digest
from ragkit.evaluation.retrieval_run import REPLIES_FILE
from ragkit.evaluation.test_sets import Made, Search, Section, by_llm, from_headings, make_set
from ragkit.ingest.loaders import heading_text
from ragkit.ingest.sources import from_paths
from ragkit.llm.build import build_llm
from ragkit.llm.wrappers.cache import Cache, FileReplies
from ragkit.sdk import AsyncRAG


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeOptions:
    """How a test set is made.

    Attributes:
        first: A question is kept if its section is among so many found.
        limit: Enough questions.
        seed: Of the order in which sections are asked about.
        llm: Ask the language model of the settings, instead of taking headings.
    """

    first: int = 10
    limit: int | None = None
    seed: int = 0
    llm: bool = False


async def make_from_files(
    settings: Settings,
    paths: Sequence[Path],
    options: MakeOptions,
    *,
    on_progress: OnProgress | None = None,
) -> tuple[Made, list[str]]:
    """Make a test set, and say which files could not be read and why.

    Each section of a document is a document of the set. The headings that became questions are
    not in it, or finding them again would be no test; where a language model asks, they are.

    Raises:
        InputError: There is no section to ask about, or no question was kept.
    """
    found = from_paths(
        paths, encoding=settings.ingest.encoding, max_bytes=settings.ingest.max_file_mb * 2**20
    )
    documents, failed = found.documents()
    unread = [f"{failure.uri}: {failure.reason}" for failure in failed]
    sections = [
        section for document in documents for section in sections_of(document, headed=options.llm)
    ]
    if not sections:
        reasons = f" ({unread[0]})" if unread else ""
        raise InputError(f"There is no text to ask about in {', '.join(map(str, paths))}{reasons}.")
    if not options.llm:
        return await _made(settings, sections, options, None, on_progress), unread
    llm = build_llm(settings.llm)
    replies = FileReplies(REPLIES_FILE)
    try:
        cached = Cache(llm, replies)
        return await _made(settings, sections, options, cached, on_progress), unread
    finally:
        replies.close()
        await llm.close()


def sections_of(document: Document, *, headed: bool) -> Iterator[Section]:
    """The parts of a document between its headings, without the empty ones.

    `headed` says whether a section's title in the set holds those of the document and the headings
    above it; otherwise it has none, since a document's title is often its first heading.
    """
    path: list[tuple[int, str]] = []
    start = 0
    blocks = [block for block in document.blocks if block.kind == "heading"]
    for block in blocks:
        yield from _section(document, path, start, block.start, headed=headed)
        while path and path[-1][0] >= block.level:
            path.pop()
        path.append((block.level, heading_text(block)))
        start = block.end
    yield from _section(document, path, start, len(document.text), headed=headed)


def _section(
    document: Document, path: Sequence[tuple[int, str]], start: int, end: int, *, headed: bool
) -> Iterator[Section]:
    text = document.text[start:end].strip()
    if not text:
        return
    names = tuple(name for _, name in path)
    title = " > ".join(dict.fromkeys((document.title, *names))) if headed else ""
    part = Document(
        uri=f"{document.uri}#{start}", title=title, text=text, content_hash=digest(title, text)
    )
    yield Section(document=part, path=names)


async def _made(
    settings: Settings,
    sections: Sequence[Section],
    options: MakeOptions,
    llm: LLM | None,
    on_progress: OnProgress | None,
) -> Made:
    unreranked = settings.reranker.model_copy(update={"model": None})
    plain = settings.model_copy(update={"reranker": unreranked})
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncRAG(plain, index=Path(folder) / "index", on_progress=on_progress) as rag:
            await rag.ingest(*(section.document for section in sections))
            made = await make_set(
                sections,
                by_llm(llm) if llm is not None else from_headings,
                _search(rag, options.first),
                limit=options.limit,
                seed=options.seed,
                on_progress=on_progress,
            )
    if not made.kept:
        raise InputError(
            f"None of {made.asked} questions on {made.sections} sections could be kept "
            f"({made.repeated} repeated, {made.unusable} unusable, {made.lost} not found again): "
            "the documents need headings over sections of 20 words or more, or a better --llm."
        )
    return made


def _search(rag: AsyncRAG, first: int) -> Search:
    async def search(question: str) -> list[str]:
        hits = await rag.search(question, k=2 * first)
        return list(dict.fromkeys(hit.chunk.uri for hit in hits))[:first]

    return search
