"""The context of an answer: packed to a budget, neighbours merged, best passages outermost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ragkit.core.types import Hit

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A span of one document, made of one hit or of several that touch.

    `text` is `document.text[start:end]`; `score` is that of its best hit.
    """

    uri: str
    title: str
    text: str
    start: int
    end: int
    score: float
    chunk_ids: tuple[str, ...]


def merge_neighbours(hits: Sequence[Hit]) -> list[Passage]:
    """Join hits of one document whose spans touch or overlap; best passage first."""
    merged: list[Passage] = []
    for hit in sorted(hits, key=lambda hit: (hit.chunk.uri, hit.chunk.start)):
        passage = _passage(hit)
        last = merged[-1] if merged else None
        if last and last.uri == passage.uri and passage.start <= last.end:
            merged[-1] = _joined(last, passage)
        else:
            merged.append(passage)
    return sorted(merged, key=lambda passage: -passage.score)


def pack(hits: Sequence[Hit], *, budget: int, count: Callable[[str], int]) -> list[Hit]:
    """The best hits that fit into `budget` tokens as `count` counts them, best first."""
    packed: list[Hit] = []
    left = budget
    for hit in hits:
        size = count(hit.chunk.text)
        if size <= left:
            packed.append(hit)
            left -= size
    return packed


def best_at_the_ends(passages: Sequence[T]) -> list[T]:
    """Reorder what is given best first, so that the best stand first and last.

    Models use the middle of a long context least (Liu et al. 2023, arXiv:2307.03172).
    """
    return [*passages[::2], *reversed(passages[1::2])]


def build_context(
    hits: Sequence[Hit], *, budget: int, count: Callable[[str], int], ends: bool = False
) -> list[Passage]:
    """Pack hits to the budget, merge them and order the passages that a model is shown.

    The best comes first; with `ends`, see `best_at_the_ends`.
    """
    passages = merge_neighbours(pack(hits, budget=budget, count=count))
    return best_at_the_ends(passages) if ends else passages


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
    )


def _joined(first: Passage, second: Passage) -> Passage:
    return replace(
        first,
        text=first.text + second.text[max(0, first.end - second.start) :],
        end=max(first.end, second.end),
        score=max(first.score, second.score),
        chunk_ids=first.chunk_ids + second.chunk_ids,
    )
