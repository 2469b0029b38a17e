"""Answers without a language model that a reader can check: a snippet of the documents.

A question for a fact gets the sentence that holds it, with the short answer marked; one for an
explanation, a comparison, a list or instructions the sentences, items or code that answer, under
their heading (a "featured snippet").
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter

from ragkit.answering.abstention import AbstainingAnswerer, Draft, probability
from ragkit.answering.comparison import sides_of
from ragkit.answering.disagreement import disagreeing, source_of, year_of
from ragkit.answering.excerpt import Excerpt, excerpt
from ragkit.answering.features import LinearScore
from ragkit.answering.question_kind import WITH_SPAN, QuestionKind, question_kind
from ragkit.answering.suitability import SAME_YEAR, asks_date, is_mistyped
from ragkit.answering.unit_features import RANKING, UnitCandidate, UnitFeatures, UnitReader
from ragkit.answering.units import Unit, units_of
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.text import terms
from ragkit.core.types import AnswerSpan, Citation, Hit
from ragkit.models.cross_encoder import CrossEncoderModel
from ragkit.retrieval.results import Hits

ALONE = 2.0
"""The margin of a unit whose passage is the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFeatures(UnitFeatures):
    """Features of the best unit; `margin` is how much better it is than all other passages."""

    margin: float


# Fitted by `training/calibrate_snippet.py`.
CONFIDENCE = LinearScore(
    {"similarity": 2.63, "context_coverage": 0.83, "relevance": 0.33, "margin": 0.22}, bias=-2.55
)

DOUBTS = LinearScore({"history": -1.5, "mistyped": -1.0})
"""What the form of the best unit takes from the confidence, set by hand."""

LEAST_SPAN = -2.0
"""The least score of a span, over "no answer here", that is marked in its sentence."""

UNDECIDED = 0.6
"""The highest confidence where documents contradict each other and none is known to be newer."""

NEARLY_AS_GOOD = 1.0
"""Units of other passages up to this far below the best are cited for the same short answer."""


_REACH = 2
"""Chunks before and after the best one that an answer may go on in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnratedUnit:
    """A unit beside the hits, which an answer may take in but is not chosen for."""

    hit: Hit
    unit: Unit
    score: float = -math.inf


class SnippetAnswerer(AbstainingAnswerer):
    """Answers with a snippet of the hits, verbatim but for its markup, or abstains.

    Abstains below the confidence `settings.threshold`. Other passages that give the same short
    answer are cited too, up to `settings.max_quotes`.
    """

    least_confidence = 0.25

    def __init__(
        self,
        model: CrossEncoderModel,
        embedder: Embedder,
        *,
        settings: AnswerSettings,
        language: str = "english",
    ) -> None:
        """Use a network, which may be the reranker's too, and the index's embedder."""
        super().__init__(settings, language)
        self._reader = UnitReader(model=model, embedder=embedder, language=language)

    async def draft(self, question: str, hits: Sequence[Hit]) -> Draft | None:
        """Return the best snippet, None where the hits hold no text."""
        passages = await self._reader.read(question, hits)
        ranked = sorted((one for units in passages for one in units), key=lambda one: -one.score)
        if not ranked:
            return None
        kind = question_kind(question)
        sides = sides_of(question, ranked, self._language) if kind == "comparison" else ()
        first = sides[0] if sides else _best_of_passage(ranked)
        versions = disagreeing(first, ranked, self._language)
        best = versions[0]
        parts = [best] if len(sides) < 2 else [*sides]
        found = [
            excerpt(
                part,
                [*passages, *await self._beside(part, hits)],
                kind="fact" if len(parts) > 1 and part.unit.kind != "sentence" else kind,
                dated=asks_date(question),
            )
            for part in parts
        ]
        found = _distinct(found)
        text = "\n".join(one.text(headed=_is_headed(one, kind, question)) for one in found)
        odds = CONFIDENCE.score(answer_features(ranked)) + DOUBTS.score(first.form)
        confidence = probability(odds)
        cited = [citation for one in found for citation in one.citations()]
        if len(versions) > 1:
            text, cited = _versions_text(versions), [*map(_cited, versions)]
            dated = year_of(best.hit.chunk) > year_of(versions[1].hit.chunk)
            confidence = confidence if dated else min(confidence, UNDECIDED)
        held = {one.chunk_id for one in cited}
        others = [one for one in _agreeing(best, ranked, kind) if one.hit.chunk.id not in held]
        most = max(0, self._settings.max_quotes - len(cited))
        return Draft(
            text=text,
            citations=(*cited, *map(_cited, others[:most])),
            confidence=confidence,
            span=self._marked(best, text, question) if kind in WITH_SPAN else None,
        )

    async def _beside(self, best: UnitCandidate, hits: Sequence[Hit]) -> list[list[UnratedUnit]]:
        """Return the units of the chunks around the best one that are no hits."""
        near = hits.surroundings if isinstance(hits, Hits) else None
        if near is None:
            return []
        held = {hit.chunk.id for hit in hits}
        chunks = await near.around([best.hit.chunk], reach=_REACH)
        around = [
            Hit(chunk=chunk, score=best.hit.score, trace={})
            for chunk in chunks
            if chunk.id not in held
        ]
        return [
            [UnratedUnit(hit=hit, unit=unit) for unit in units_of(hit.chunk, self._language)]
            for hit in around
        ]

    def _marked(self, best: UnitCandidate, text: str, question: str) -> AnswerSpan | None:
        """Return the short answer in a text, where the network is sure enough of it.

        Words of the question do not answer it.
        """
        if best.span is None or best.span.score < LEAST_SPAN or best.unit.kind == "code":
            return None
        start, end = best.unit.plain.snapped(best.span.start, best.span.end)
        marked = best.unit.text[start:end]
        said = set(terms(question, language=self._language))
        if set(terms(marked, language=self._language)) <= said:
            return None
        if is_mistyped(question, SAME_YEAR.sub("", marked)):
            return None
        start += text.index(best.unit.text)
        return AnswerSpan(text=marked, start=start, end=start + len(marked))


def _best_of_passage(ranked: Sequence[UnitCandidate]) -> UnitCandidate:
    """Return what suits best in the passage of the first unit."""
    chosen = ranked[0].hit.chunk.id
    return max((one for one in ranked if one.hit.chunk.id == chosen), key=attrgetter("suited"))


def _distinct(found: Sequence[Excerpt]) -> list[Excerpt]:
    """Return excerpts without those that repeat one before them."""
    kept: list[Excerpt] = []
    for one in found:
        shown = {place for other in kept for place in _places(other)}
        if not set(_places(one)) <= shown:
            kept.append(one)
    return kept


def _places(found: Excerpt) -> list[tuple[str, int]]:
    return [(one.hit.chunk.id, one.unit.start) for one in found.units]


def _is_headed(found: Excerpt, kind: QuestionKind, question: str) -> bool:
    """Return whether an excerpt is shown under its heading: "No." says nothing without it."""
    if kind != "boolean":
        return kind != "fact"
    asked = found.units[0].unit.question
    return bool(asked) and asked.casefold() != question.strip().casefold()


def answer_features(ranked: Sequence[UnitCandidate]) -> AnswerFeatures:
    """Return the features of the first of the units, which are given best first."""
    best = ranked[0]
    others = [one for one in ranked if one.hit.chunk.id != best.hit.chunk.id]
    # Without what the form says, which `CONFIDENCE` was not fitted with.
    second = max((RANKING.score(one.features) for one in others), default=None)
    margin = ALONE if second is None else RANKING.score(best.features) - second
    return AnswerFeatures(**asdict(best.features), margin=margin)


def _agreeing(
    best: UnitCandidate, ranked: Sequence[UnitCandidate], kind: QuestionKind
) -> list[UnitCandidate]:
    """Return a unit of each passage that says the same: the same text, or the same short answer."""
    said = _span_words(best) if kind in WITH_SPAN else ""
    found: dict[str, UnitCandidate] = {}
    for one in ranked:
        near = one.score >= best.score - NEARLY_AS_GOOD
        if one.unit.text == best.unit.text or (said and near and said == _span_words(one)):
            found.setdefault(one.hit.chunk.id, one)
    return list(found.values())


def _span_words(one: UnitCandidate) -> str:
    if one.span is None:
        return ""
    start, end = one.unit.plain.snapped(one.span.start, one.span.end)
    return " ".join(one.unit.text[start:end].casefold().split())


def _cited(one: UnitCandidate) -> Citation:
    return Citation.of(one.hit.chunk, one.unit.start, one.unit.end)


def _versions_text(versions: Sequence[UnitCandidate]) -> str:
    """Return what each document says, with its name."""
    return "\n".join(f"{one.unit.text} ({source_of(one.hit.chunk)})" for one in versions)
