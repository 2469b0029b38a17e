"""The context of an answer: hits packed to a budget, merged where they touch, and ordered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ragkit.core.types import Hit, Metadata, MetadataValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A span of one document, made of one hit or of several that touch.

    `text` is `document.text[start:end]`; `score` is that of its best hit; heading path, page and
    metadata are those of its first chunk.
    """

    uri: str
    title: str
    text: str
    start: int
    end: int
    score: float
    chunk_ids: tuple[str, ...]
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])


def merge_neighbours(hits: Sequence[Hit]) -> list[Passage]:
    """Join hits of one version of a document whose spans touch or overlap; best passage first."""
    merged: list[Passage] = []
    version: tuple[str, str] | None = None
    for hit in sorted(hits, key=_position):
        passage = _passage(hit)
        if version == _position(hit)[:2] and passage.start <= merged[-1].end:
            merged[-1] = _joined(merged[-1], passage)
        else:
            merged.append(passage)
        version = _position(hit)[:2]
    return sorted(merged, key=lambda passage: -passage.score)


def pack(hits: Sequence[Hit], *, budget: int, count: Callable[[str], int]) -> list[Hit]:
    """Return the best hits that fit into `budget` tokens as `count` counts them, best first."""
    packed: list[Hit] = []
    left = budget
    for hit in hits:
        size = count(hit.chunk.text)
        if size <= left:
            packed.append(hit)
            left -= size
    return packed


def best_at_the_ends(passages: Sequence[T]) -> list[T]:
    """Reorder passages that are given best first, so that the best stand first and last.

    Models use the middle of a long context least (Liu et al. 2023, arXiv:2307.03172).
    """
    return [*passages[::2], *reversed(passages[1::2])]


def build_context(
    hits: Sequence[Hit], *, budget: int, count: Callable[[str], int], ends: bool = False
) -> list[Passage]:
    """Pack hits to the budget, merge them and order the passages for a model.

    The best comes first; with `ends`, see `best_at_the_ends`.
    """
    passages = merge_neighbours(pack(hits, budget=budget, count=count))
    return best_at_the_ends(passages) if ends else passages


def _position(hit: Hit) -> tuple[str, str, int]:
    return hit.chunk.uri, hit.chunk.generation, hit.chunk.start


def _passage(hit: Hit) -> Passage:
    chunk = hit.chunk
    return Passage(
        uri=chunk.uri,
        title=chunk.title,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        score=hit.score,
        chunk_ids=(chunk.id,),
        heading_path=chunk.heading_path,
        page=chunk.page,
        metadata=chunk.metadata,
    )


def _joined(first: Passage, second: Passage) -> Passage:
    return replace(
        first,
        text=first.text + second.text[max(0, first.end - second.start) :],
        end=max(first.end, second.end),
        score=max(first.score, second.score),
        chunk_ids=first.chunk_ids + second.chunk_ids,
    )
