"""Comparisons: the two things that a question compares, and what is said of each."""

import re
from collections.abc import Sequence

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

    def about(unit: UnitCandidate, side: set[str]) -> bool:
        headings = " ".join((unit.hit.chunk.header, unit.unit.heading))
        return side <= set(terms(f"{headings} {unit.unit.text}", language=language))

    ranked = [item for item in ranked if item.unit.kind != "code"]
    if not ranked:
        return ()
    least = ranked[0].score - NEARLY_AS_GOOD
    both = [item for item in ranked if about(item, one) and about(item, two)]
    both = [item for item in both if item.score >= least]
    if contrasts := [item for item in both if _CONTRAST.search(item.unit.text)]:
        return (max(contrasts, key=_suited),)
    first = [item for item in ranked if about(item, one) and not about(item, two - one)]
    second = [item for item in ranked if about(item, two) and not about(item, one - two)]
    if not first or not second:
        return (max(both, key=_suited),) if both else ()
    return (max(first, key=_suited), max(second, key=_suited))


def _suited(item: UnitCandidate) -> float:
    return item.suited
