"""The stages of a search side by side: who stands where, and what moved."""

import itertools
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ragkit.core.types import Chunk
from ragkit.retrieval.results import Explanation
from ragkit.ui.inspection import Inspected
from ragkit.ui.markup import milliseconds

LABELS: Mapping[str, str] = {
    "dense": "Dense",
    "bm25": "BM25",
    "fusion": "Fused",
    "rerank": "Reranked",
    "mmr": "Diversified",
}
_LEGS = ("dense", "bm25")
_ALWAYS = ("dense", "bm25", "fusion", "rerank")
_TIMES: Mapping[str, str] = {"dense": "search", "bm25": "search"}
_HUES = (172, 262, 32, 212, 330, 95, 12, 190, 48, 290)
_HEAD, _CARD, _GAP = 46, 84, 8
_COLUMN_GAP = 4.0
_TEXT = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A chunk at its rank in a stage.

    Attributes:
        id: Of the chunk.
        letter: Names the hit in all columns; empty for a chunk that is no hit in the end.
        rank: Counts from 1.
        score: In the stage's own unit.
        move: Ranks gained since the stage before; None where there is none, or it was not there.
        origin: Ranks in the legs, in words, for the fused stage.
    """

    id: str
    letter: str
    rank: int
    score: float
    move: int | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A stage: the first of its candidates, and how many it had. `seconds` is None if not timed."""

    stage: str
    label: str
    placed: tuple[Placed, ...]
    total: int
    seconds: float | None = None


def letters(ids: Sequence[str]) -> dict[str, str]:
    """Return a letter for each hit: A, B, ... Z, then A1, B1, ..."""
    return {
        item: chr(65 + place % 26) + (str(place // 26) if place >= 26 else "")  # the alphabet
        for place, item in enumerate(ids)
    }


def columns(found: Inspected, *, rows: int) -> list[Column]:
    """Return the stages in their order, the four known ones also where they had no part."""
    stages = found.explanation.stages
    names = [*_ALWAYS, *(name for name in stages if name not in _ALWAYS)]
    named = letters(found.ids)
    ranks = {name: {item: rank for item, rank, _ in ranked} for name, ranked in stages.items()}
    made: list[Column] = []
    before: Mapping[str, int] | None = None
    for name in names:
        ranked = stages.get(name, ())
        placed = tuple(
            Placed(
                id=item,
                letter=named.get(item, ""),
                rank=rank,
                score=score,
                move=before[item] - rank if before and item in before else None,
                origin=_origin(ranks, item) if name == "fusion" else "",
            )
            for item, rank, score in ranked[:rows]
        )
        seconds = found.explanation.seconds.get(_TIMES.get(name, name))
        label = LABELS.get(name, name.replace("_", " ").capitalize())
        made.append(
            Column(stage=name, label=label, placed=placed, total=len(ranked), seconds=seconds)
        )
        if name not in _LEGS and ranked:
            before = ranks[name]
    return made


def final_column(found: Inspected, label: str, named: Mapping[str, str]) -> Column:
    """Return the hits as a column of their own, with the score that put them there."""
    stages = found.explanation.stages
    last = list(stages)[-1] if stages else ""
    scores = {item: score for item, _, score in stages.get(last, ())}
    placed = tuple(
        Placed(id=item, letter=named[item], rank=rank, score=scores.get(item, 0.0))
        for rank, item in enumerate(found.ids, start=1)
    )
    return Column(stage="hits", label=label, placed=placed, total=len(placed))


def _origin(ranks: Mapping[str, Mapping[str, int]], item: str) -> str:
    parts = [f"{LABELS[leg]} {ranks[leg][item]}" for leg in _LEGS if item in ranks.get(leg, {})]
    return ", ".join(parts)


def board_html(
    shown: Sequence[Column], chunks: Mapping[str, Chunk], *, chosen: str | None = None
) -> str:
    """Return columns of cards, with lines between the places of each hit."""
    width = (100 - _COLUMN_GAP * (len(shown) - 1)) / len(shown)
    inner = "".join(_column_html(column, chunks, chosen) for column in shown)
    grid = f"grid-template-columns:repeat({len(shown)},minmax(0,1fr));column-gap:{_COLUMN_GAP}%"
    rows = max((len(column.placed) for column in shown), default=0)
    height = _HEAD + rows * (_CARD + _GAP)
    lines = _lines_html(shown, width, height)
    return (
        f'<div class="rk-board"><div class="rk-columns" style="{grid}">{inner}{lines}</div></div>'
    )


def hue(letter: str) -> str:
    """Return the colour of a hit; grey for what is no hit."""
    if not letter:
        return "var(--rk-line)"
    place = ord(letter[0]) - 65 + 26 * int(letter[1:] or 0)
    return f"hsl({_HUES[place % len(_HUES)]} 62% 45%)"


def _column_html(column: Column, chunks: Mapping[str, Chunk], chosen: str | None) -> str:
    time = "" if column.seconds is None else f" · {milliseconds(column.seconds)}"
    sub = f"{column.total} candidates{time}" if column.placed else "&nbsp;"
    cards = "".join(_card_html(item, chunks[item.id], chosen) for item in column.placed)
    empty = (
        '<div class="rk-empty">No reranker is chosen.</div>'
        if column.stage == "rerank"
        else '<div class="rk-empty">Nothing was found.</div>'
    )
    head = f'<div style="height:{_HEAD}px"><h4>{escape(column.label)}</h4>'
    return (
        f'<section aria-label="{escape(column.label)}">{head}<p class="rk-sub">{sub}</p></div>'
        f"{cards or empty}</section>"
    )


def _card_html(item: Placed, chunk: Chunk, chosen: str | None) -> str:
    marked = " rk-chosen" if chosen == chunk.uri else ""
    name = f"<b>{item.letter}</b>" if item.letter else ""
    about = escape(item.origin) or _move_html(item.move)
    title = chunk.heading_path[-1] if chunk.heading_path else chunk.title or chunk.uri
    text = chunk.text.removeprefix(title).strip()[:_TEXT]
    whole = escape(f"{chunk.header}\n\n{chunk.text}"[:900])
    return (
        f'<div class="rk-card{marked}" style="height:{_CARD}px;margin-bottom:{_GAP}px;'
        f'--rk-hue:{hue(item.letter)}" title="{whole}">'
        f'<div class="rk-top"><span>{item.rank}.</span>{name}{about}'
        f'<span class="rk-score">{item.score:.3f}</span></div>'
        f'<div class="rk-title">{escape(title)}</div>'
        f'<div class="rk-text">{escape(text)}</div></div>'
    )


def _move_html(move: int | None) -> str:
    if not move:
        return "" if move is None else '<span aria-label="same rank">=</span>'
    if move > 0:
        return f'<span class="rk-up" aria-label="up {move}">▲{move}</span>'
    return f'<span class="rk-down" aria-label="down {-move}">▼{-move}</span>'


def _lines_html(shown: Sequence[Column], width: float, height: int) -> str:
    """Return lines between neighbouring columns, in percent across and pixels down."""
    paths: list[str] = []
    for place, (left, right) in enumerate(itertools.pairwise(shown)):
        start = place * (width + _COLUMN_GAP) + width
        end = start + _COLUMN_GAP
        ends = {item.id: item for item in right.placed}
        for item in left.placed:
            if item.letter and item.id in ends:
                y1, y2 = _middle(item.rank), _middle(ends[item.id].rank)
                bend = (start + end) / 2
                curve = f"M{start:.2f} {y1}C{bend:.2f} {y1} {bend:.2f} {y2} {end:.2f} {y2}"
                paths.append(
                    f'<path d="{curve}" fill="none" stroke="{hue(item.letter)}" '
                    'stroke-width="2.5" vector-effect="non-scaling-stroke"/>'
                )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 {height}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )
    # As a picture: the page's sanitizer lets no SVG through.
    data = b64encode(drawn.encode()).decode()
    return (
        f'<img class="rk-lines" style="height:{height}px" alt="" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _middle(rank: int) -> int:
    return _HEAD + (rank - 1) * (_CARD + _GAP) + _CARD // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """The place of a document's best chunk in a stage; `rank` is None where it has none."""

    stage: str
    rank: int | None
    score: float | None
    candidates: int


def whereabouts(explanation: Explanation, ids: Sequence[str]) -> list[Whereabouts]:
    """Return the best rank of these chunks in every stage."""
    wanted = set(ids)
    found: list[Whereabouts] = []
    for name, ranked in explanation.stages.items():
        best = next(((rank, score) for item, rank, score in ranked if item in wanted), None)
        found.append(
            Whereabouts(
                stage=LABELS.get(name, name),
                rank=best[0] if best else None,
                score=best[1] if best else None,
                candidates=len(ranked),
            )
        )
    return found


def why_absent(found: Inspected, ids: Sequence[str], *, k: int) -> str:
    """Return in a sentence why none of these chunks is a hit, or at which rank one is."""
    wanted = set(ids)
    for place, item in enumerate(found.ids, start=1):
        if item in wanted:
            return f"It is here: hit {place}."
    kept = next((k for item, k in found.explanation.duplicates.items() if item in wanted), None)
    if kept is not None:
        return "Its passage repeats a better hit, which is shown in its place."
    stages = found.explanation.stages
    places = {
        name: next((rank for item, rank, _ in ranked if item in wanted), None)
        for name, ranked in stages.items()
    }
    fused = places.get("fusion")
    if fused is None:
        return (
            "No passage of it is found by either leg: it shares no word with the query, or the "
            "filter leaves it out."
        )
    reranked = places.get("rerank")
    if "rerank" in stages and reranked is None:
        return (
            f"Its best passage is fused to rank {fused}, below the {len(stages['rerank'])} that "
            "are reranked."
        )
    last = reranked or fused
    return f"Its best passage ends at rank {last}, and {k} hits are shown."
