"""Comparisons: the two things that a question compares, and what is said of each."""

import re
from collections.abc import Sequence
from operator import attrgetter

from ragkit.answering.unit_features import UnitCandidate
from ragkit.core.text import terms

NEARLY_AS_GOOD = 2.0
"""A unit about both sides answers alone, up to this far below the best."""

_SIDES = re.compile(
    r"\b(?:between|of) (?P<a>.+?) and (?P<b>.+?)\W*$|"
    r"(?P<c>\S+(?: \S+)?) (?:vs\.?|versus|compared? (?:to|with)|differ(?:s|ent)? from) "
    r"(?P<d>.+?)\W*$",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"\b(?:differ\w*|unlike|whereas|while|rather|instead|but|than|versus|vs|contrast|similar\w*|same|"
    r"both|however|only|not|distinct\w*|compared?|equivalent|alternative)\b|n't\b",
    re.IGNORECASE,
)
_SUITED = attrgetter("suited")


def sides_of(
    question: str, ranked: Sequence[UnitCandidate], language: str
) -> tuple[UnitCandidate, ...]:
    """Return what answers a comparison: a unit that contrasts both sides, or the best about each.

    Empty where the question names no two sides, or nothing is said of one of them.
    """
    found = _SIDES.search(question)
    if found is None:
        return ()
    names = (found["a"] or found["c"], found["b"] or found["d"])
    one, two = (set(terms(name, language=language)) for name in names)
    if not one or not two or one == two:
        return ()

    worded = [(item, _words(item, language)) for item in ranked if item.unit.kind != "code"]
    if not worded:
        return ()
    least = worded[0][0].score - NEARLY_AS_GOOD
    near = [item for item, said in worded if one | two <= said and item.score >= least]
    both = [item for item in near if one | two <= set(terms(item.unit.text, language=language))]
    both = both or near  # where no unit names both itself, the headings above it do
    if contrasts := [item for item in both if _CONTRAST.search(item.unit.text)]:
        return (max(contrasts, key=_SUITED),)
    first = [item for item, said in worded if one <= said and not two - one <= said]
    second = [item for item, said in worded if two <= said and not one - two <= said]
    if not first or not second:
        return (max(both, key=_SUITED),) if both else ()
    return (max(first, key=_SUITED), max(second, key=_SUITED))


def _words(item: UnitCandidate, language: str) -> set[str]:
    """Return the words of a unit and of the headings above it."""
    parts = (item.hit.chunk.header, item.unit.heading, item.unit.text)
    return set(terms(" ".join(parts), language=language))
