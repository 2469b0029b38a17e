"""Excerpts of passages: the sentences, steps or code around a unit that answer together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ragkit.answering.question_kind import QuestionKind
from ragkit.answering.suitability import announces, dated_before, refers_back, starts_midway
from ragkit.answering.units import Unit
from ragkit.core.types import Citation, Hit

_MOST_SENTENCES = 3
_MOST_ITEMS = 12
_MOST_CHARACTERS = 1200
_MOST_CODE_LINES = 30
_NEAR_UNITS = 3
_BRIEF_WORDS = 3
_NEAR_CHARACTERS = 500
_ENDS = (*".!?:", *"\u3002\uff01\uff1f\uff1a\u061f\u06d4\u0964")
"""Marks that end a sentence: of Latin, Chinese and Japanese, Arabic and Urdu, and Hindi."""
NEARLY_AS_GOOD = 1.0
"""Sentences beside the best unit up to this far below its score are taken in too."""


class PlacedUnit(Protocol):
    """A unit of a hit, with its score as an answer."""

    @property
    def hit(self) -> Hit:
        """The hit that it stands in."""
        ...

    @property
    def unit(self) -> Unit:
        """The unit."""
        ...

    @property
    def score(self) -> float:
        """Its score as an answer, in log-odds; minus infinity where it is only read on into."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Units that stand together in a document, in reading order, with the best of them."""

    units: tuple[PlacedUnit, ...]
    best: PlacedUnit

    @property
    def heading(self) -> str:
        """The heading above the first unit."""
        return self.units[0].unit.heading

    def text(self, *, headed: bool) -> str:
        """Return the text without markup, one item or line of code a line.

        With `headed` it stands under its heading, unless it begins with the same words.
        """
        repeated = self.units[0].unit.text.casefold().startswith(self.heading.casefold())
        parts = [self.heading, "\n"] if headed and self.heading and not repeated else []
        previous: PlacedUnit | None = None
        for one in self.units:
            if previous is not None:
                parts.append(_separator(previous, one))
            parts.append(f"{one.unit.marker} " if one.unit.marker else "")
            parts.append(one.unit.text)
            previous = one
        return "".join(parts)

    def citations(self) -> tuple[Citation, ...]:
        """Return one citation of each chunk that the units are in."""
        by_chunk: dict[str, list[PlacedUnit]] = {}
        for one in self.units:
            by_chunk.setdefault(one.hit.chunk.id, []).append(one)
        return tuple(
            Citation.of(units[0].hit.chunk, units[0].unit.start, units[-1].unit.end)
            for units in by_chunk.values()
        )


def _separator(previous: PlacedUnit, one: PlacedUnit) -> str:
    if _continues(previous, one):
        if one.unit.kind != "code":
            return " "
        return _broken_line(previous, one)
    prose = one.unit.kind == previous.unit.kind == "sentence" and _same_block(previous, one)
    return " " if prose else "\n"


def _broken_line(previous: PlacedUnit, one: PlacedUnit) -> str:
    """Return a line break where code that goes on in the next chunk had one there."""
    chunk, after = previous.hit.chunk, one.hit.chunk
    between = chunk.text[previous.unit.end :] + after.text[: one.unit.start]
    return "\n" if "\n" in between else between


def excerpt(
    best: PlacedUnit,
    passages: Sequence[Sequence[PlacedUnit]],
    *,
    kind: QuestionKind,
    dated: bool = False,
) -> Excerpt:
    """Return the units around the best one that belong to the answer.

    Args:
        best: The unit that answers best.
        passages: The units of each hit; hits that touch the best one's are read on into.
        kind: A fact is one sentence; steps take in lists and code.
        dated: The question asks for a date, so that "in the same year" does not answer it alone.
    """
    sequence = _sequence(best.hit, passages)
    at = next(number for number, one in enumerate(sequence) if one is best)
    if kind in {"fact", "boolean"}:
        first = _dated_start(sequence, at) if dated else at
        if best.unit.kind == "code" and _leads_in(sequence, at):
            first = at - 1
        if best.unit.question:
            first, at = _whole_reply(sequence, first, at)
        first, last = _unbroken(sequence, first, _announced(sequence, at))
        return Excerpt(units=tuple(sequence[first : last + 1]), best=best)
    if kind == "steps":
        first, last = _section(sequence, at)
    elif best.unit.kind == "sentence":
        first, last = _sentences(sequence, at, whole=kind == "comparison")
    elif best.unit.kind == "code" or (best.unit.kind == "row" and kind != "list"):
        first = last = at
    else:
        first, last = _items(sequence, at)
    if _leads_in(sequence, first):
        first -= 1
    if kind != "steps" or announces(sequence[last].unit.text):
        last = _announced(sequence, last)
    if kind == "list" and sequence[last].unit.kind in {"item", "row"}:
        last = _lists(sequence, first, last)
    first, last = _unbroken(sequence, first, last)
    return Excerpt(units=tuple(sequence[first : last + 1]), best=best)


def _dated_start(sequence: Sequence[PlacedUnit], at: int) -> int:
    """Return the sentence before in the paragraph that gives the year of "in the same year"."""
    near = sequence[max(0, at - _MOST_SENTENCES + 1) : at]
    near = [one for one in near if _same_block(one, sequence[at])]
    dated = dated_before(sequence[at].unit.text, [one.unit.text for one in near])
    return at if dated is None else at - len(near) + dated


def _sequence(hit: Hit, passages: Sequence[Sequence[PlacedUnit]]) -> list[PlacedUnit]:
    """Return the units of the chunk and of those hits of its document that touch it.

    Where chunks overlap, the chunk's own units stay and others give way.
    """
    same = sorted(
        (units for units in passages if units and units[0].hit.chunk.uri == hit.chunk.uri),
        key=lambda units: units[0].hit.chunk.start,
    )
    run: list[PlacedUnit] = []
    end, held = -1, False
    for units in same:
        chunk = units[0].hit.chunk
        if chunk.start > end:
            if held:
                break
            run = []
        if chunk.id == hit.chunk.id:
            held = True
            run = [one for one in run if one.hit.chunk.start + one.unit.end <= chunk.start]
            run += units
        else:
            run += [one for one in units if chunk.start + one.unit.start >= end]
        end = max(end, chunk.end)
    return run


def _whole_reply(sequence: Sequence[PlacedUnit], first: int, last: int) -> tuple[int, int]:
    """Return first and last of a reply to a question: "Not yet." and what explains it.

    A few words alone are not the answer, and what follows them is not without them.
    """
    if first and _same_block(sequence[first - 1], sequence[first]):
        first -= _is_brief(sequence[first - 1].unit)
    following = sequence[last + 1 : last + 2]
    if following and _same_block(sequence[last], following[0]):
        last += _is_brief(sequence[last].unit)
    return first, last


def _is_brief(unit: Unit) -> bool:
    return unit.kind == "sentence" and len(unit.text.split()) <= _BRIEF_WORDS


def _sentences(sequence: Sequence[PlacedUnit], at: int, *, whole: bool = False) -> tuple[int, int]:
    """Return first and last of the sentences of a paragraph that belong to the best.

    Those nearly as good belong to it, and those that refer back to it; with `whole` all after it.
    """
    best = sequence[at]
    least = best.score - NEARLY_AS_GOOD
    first = last = at
    if at and _same_block(sequence[at - 1], best) and refers_back(best.unit.text):
        first -= 1
    while last + 1 < len(sequence) and last - first + 1 < _MOST_SENTENCES:
        following = sequence[last + 1]
        if not _same_block(best, following):
            break
        refers = whole or refers_back(following.unit.text)
        if following.score < least and not refers:
            break
        last += 1
    while first and last - first + 1 < _MOST_SENTENCES:
        before = sequence[first - 1]
        if not _same_block(best, before) or before.score < least:
            break
        first -= 1
    return first, last


def _section(sequence: Sequence[PlacedUnit], at: int) -> tuple[int, int]:
    """Return first and last unit of the instructions around the best one, in its section.

    They start with the section where that is near, and end with the first list or code after the
    best unit where that is near.
    """
    first = last = at
    if sequence[at].unit.kind == "row":
        return at, at
    if sequence[at].unit.kind == "item":
        first, last = _items(sequence, at)
    first = _section_start(sequence, first, at)
    if any(one.unit.kind != "sentence" for one in sequence[first : last + 1]):
        return first, last
    for stop in range(last + 1, min(last + 1 + _NEAR_UNITS, len(sequence))):
        one = sequence[stop]
        if not _same_section(one, sequence[at]):
            break
        if one.unit.kind == "code":
            return first, stop if _fits(one) else last
        if one.unit.kind != "sentence":
            return first, _items(sequence, stop)[1]
    return first, _sentences(sequence, at)[1]


def _section_start(sequence: Sequence[PlacedUnit], first: int, at: int) -> int:
    """Return the first unit of the section, or after its last code, where that is near.

    Else the first of the sentences before.
    """
    start = first
    while (
        start
        and _same_section(sequence[start - 1], sequence[at])
        and sequence[start - 1].unit.kind != "code"
    ):
        start -= 1
    if first - start > _NEAR_UNITS or _size(sequence[start:first]) > _NEAR_CHARACTERS:
        return _sentences(sequence, at)[0] if sequence[at].unit.kind == "sentence" else first
    while start < at and _opens_badly(sequence, start):
        start += 1
    return start


def _opens_badly(sequence: Sequence[PlacedUnit], at: int) -> bool:
    """Return True for what needs the units before it, or announces what is not there."""
    unit = sequence[at].unit
    orphan = announces(unit.text) and sequence[at + 1].unit.kind == "sentence"
    return orphan or starts_midway(unit) or (unit.kind == "sentence" and refers_back(unit.text))


def _items(sequence: Sequence[PlacedUnit], at: int) -> tuple[int, int]:
    """Return first and last of the items of the list, or rows of the table, of a unit."""
    first = last = at
    while first and _same_block(sequence[first - 1], sequence[at]):
        first -= 1
    while last + 1 < len(sequence) and _same_block(sequence[last + 1], sequence[at]):
        last += 1
    while last - first + 1 > _MOST_ITEMS or _size(sequence[first : last + 1]) > _MOST_CHARACTERS:
        if first == last:
            break
        if at - first > last - at:
            first += 1
        else:
            last -= 1
    return first, last


def _announced(sequence: Sequence[PlacedUnit], last: int) -> int:
    """Return the last unit with the code or list that it announces with a colon."""
    following = last + 1
    if not announces(sequence[last].unit.text) or following >= len(sequence):
        return last
    one = sequence[following]
    if not _same_section(one, sequence[last]):
        return last
    if one.unit.kind in {"item", "row"}:
        return _items(sequence, following)[1]
    if one.unit.kind == "sentence":
        return _announced(sequence, following)
    return following if _fits(one) else last


def _lists(sequence: Sequence[PlacedUnit], first: int, last: int) -> int:
    """Return the last of the lists that follow each other in a section, each announced or not."""
    while last + 1 < len(sequence) and _same_section(sequence[last + 1], sequence[first]):
        one = sequence[last + 1].unit
        follows = one.kind == sequence[last].unit.kind or announces(one.text)
        if not follows:
            break
        end = last + 1 if one.kind != "sentence" else _announced(sequence, last + 1)
        if end - first >= _MOST_ITEMS or _size(sequence[first : end + 1]) > _MOST_CHARACTERS:
            break
        last = end
    return last


def _unbroken(sequence: Sequence[PlacedUnit], first: int, last: int) -> tuple[int, int]:
    """Return first and last with the sentences and code that the edge of a chunk cuts in two."""
    while first and _continues(sequence[first - 1], sequence[first]):
        first -= 1
    while last + 1 < len(sequence) and _continues(sequence[last], sequence[last + 1]):
        last += 1
    return first, last


def _continues(one: PlacedUnit, following: PlacedUnit) -> bool:
    """Return True where the edge of a chunk lies inside of what the two units are parts of."""
    chunk, after = one.hit.chunk, following.hit.chunk
    if chunk.id == after.id or not _same_section(one, following):
        return False
    if following.unit.kind == "code":
        short = one.unit.text.count("\n") + following.unit.text.count("\n") < _MOST_CODE_LINES
        return one.unit.kind == "code" and short
    return starts_midway(following.unit) and not one.unit.text.endswith(_ENDS)


def _leads_in(sequence: Sequence[PlacedUnit], at: int) -> bool:
    """Return True where the unit before announces the list or code at this place."""
    if not at or sequence[at].unit.kind == "sentence":
        return False
    before = sequence[at - 1]
    if before.unit.kind != "sentence" or not _same_section(before, sequence[at]):
        return False
    said = before.unit.text
    return sequence[at].unit.kind == "code" or announces(said) or said.endswith(("…", "..."))


def _fits(one: PlacedUnit) -> bool:
    return one.unit.text.count("\n") < _MOST_CODE_LINES


def _size(units: Sequence[PlacedUnit]) -> int:
    return sum(len(one.unit.text) for one in units)


def _same_section(one: PlacedUnit, other: PlacedUnit) -> bool:
    return one.unit.heading == other.unit.heading


def _same_block(one: PlacedUnit, other: PlacedUnit) -> bool:
    return (one.hit.chunk.id, one.unit.block) == (other.hit.chunk.id, other.unit.block)
