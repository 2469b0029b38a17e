"""An answer as a conversation keeps it: text, citations, confidence, times, notes."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from ragkit.core.types import Answer, Citation, Hit

Outcome: TypeAlias = Literal["answered", "abstained", "stopped", "failed"]


class StoredCitation(BaseModel):
    """A numbered quote with its place in its document."""

    model_config = ConfigDict(frozen=True)

    number: int
    uri: str
    title: str
    quote: str
    start: int
    end: int
    page: int | None = None
    headings: tuple[str, ...] = ()


class StoredAnswer(BaseModel):
    """An answer of a conversation.

    Attributes:
        outcome: Answered; abstained, where the documents do not say; stopped by the user; failed.
        text: The answer, or the error's sentence.
        span: Characters of `text` that answer a short question, first and last.
        citations: The quotes.
        confidence: Estimated probability that the passages hold the answer.
        by: What answered: the mode, or the language model's name.
        asked: The query that was searched for.
        notes: What should be known about it.
        seconds: Time of each stage.
        passages: The passages that were found, best first, where nothing is cited.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    text: str
    span: tuple[int, int] | None = None
    citations: tuple[StoredCitation, ...] = ()
    confidence: float = 0.0
    by: str = ""
    asked: str = ""
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = {}
    passages: tuple[StoredCitation, ...] = ()

    def markdown(self) -> str:
        """Return the answer as Markdown, its quotes with numbers and sources."""
        parts = [self.text] if self.text else []
        parts += [f"_{note}_" for note in self.notes]
        if self.outcome in {"answered", "abstained"}:
            parts.append(f"_Confidence {self.confidence:.2f}, by {self.by}_")
        for cited in self.citations:
            quote = "\n".join(f"> {line}" for line in cited.quote.splitlines())
            page = "" if cited.page is None else f", page {cited.page}"
            parts.append(f"{quote}\n>\n> [{cited.number}] {cited.title} ({cited.uri}{page})")
        return "\n\n".join(parts)


def stored(
    answer: Answer, *, by: str, asked: str, notes: tuple[str, ...], seconds: Mapping[str, float]
) -> StoredAnswer:
    """Return an answer as it is kept."""
    hits = {hit.chunk.id: hit for hit in answer.hits}
    cited = [_stored_citation(n, item, hits) for n, item in enumerate(answer.citations, start=1)]
    return StoredAnswer(
        outcome="abstained" if answer.abstained else "answered",
        text=answer.text,
        span=None if answer.span is None else (answer.span.start, answer.span.end),
        citations=tuple(cited),
        confidence=answer.confidence,
        by=by,
        asked=asked,
        notes=notes,
        seconds=seconds,
        passages=tuple(_passage(n, hit) for n, hit in enumerate(answer.hits[:5], start=1)),
    )


def _stored_citation(number: int, item: Citation, hits: Mapping[str, Hit]) -> StoredCitation:
    chunk = hits[item.chunk_id].chunk
    return StoredCitation(
        number=number,
        uri=item.uri,
        title=chunk.title or item.uri,
        quote=item.quote,
        start=item.start,
        end=item.end,
        page=chunk.page,
        headings=chunk.heading_path,
    )


def _passage(number: int, hit: Hit) -> StoredCitation:
    chunk = hit.chunk
    return StoredCitation(
        number=number,
        uri=chunk.uri,
        title=chunk.title or chunk.uri,
        quote=chunk.text,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        headings=chunk.heading_path,
    )
