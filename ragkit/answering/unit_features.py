"""Features of the units of passages as answers to a question, and the score made of them."""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from ragkit.answering.features import LinearScore
from ragkit.answering.question_kind import question_kind
from ragkit.answering.question_words import QuestionWords
from ragkit.answering.suitability import SAME_YEAR, YEAR, AskedForm, Suitability
from ragkit.answering.units import Unit, units_of
from ragkit.core.protocols import Embedder
from ragkit.core.types import FloatArray, Hit
from ragkit.models.cross_encoder import CrossEncoderModel, Reading, SpanReading

_SEPARATOR = "\n"
_LONGEST = 800
"""Characters of a text that are embedded."""
_BATCH = 16
"""Texts of similar length that are embedded together, so that little is padded."""
_KEPT = 8192
"""Vectors of texts that are kept, 12 MB of them."""
_NO_SPAN = -20.0
MOST_SPAN = 4.0
"""Where a short answer is as sure as that, more says nothing of the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFeatures:
    """Features of a unit as the answer to a question.

    Attributes:
        similarity: Cosine of the question with the unit.
        context_coverage: Share of the question's words, weighted by how rare they are, in the unit
            and its headings.
        heading: Cosine of the question with the heading of the unit.
        heading_coverage: Share of the question's words in the headings.
        passage_coverage: Share of the question's words in the passage and its headings.
        span: The network's logits for the best short answer in the unit, against none.
        relevance: The network's logit for the passage.
        rank: 1 for units of the first hit, 1/2 for those of the second, and so on.
        words: Logarithm of the number of words.
    """

    similarity: float
    context_coverage: float
    heading: float
    heading_coverage: float
    passage_coverage: float
    span: float
    relevance: float
    rank: float
    words: float


# Fitted by `training/calibrate_snippet.py`.
RANKING = LinearScore(
    {
        "similarity": 2.55,
        "context_coverage": 2.77,
        "heading": 0.69,
        "heading_coverage": 1.07,
        "passage_coverage": 1.2,
        "span": 0.25,
        "relevance": 0.22,
        "rank": 1.4,
        "words": 0.33,
    }
)

# The next two are set by hand, as no set judges what they say.
FORM = LinearScore(
    {
        "history": -4.0,
        "mistyped": -1.5,
        "default": 1.5,
        "defines": 1.0,
        "named": 1.0,
        "opens": 1.0,
        "listed": 0.5,
        "code": -0.7,
    }
)
"""What the form of a unit adds to its score."""
UNSUITED = LinearScore(
    {"asks": -3.0, "code": -2.3, "fragment": -2.0, "refers": -0.5, "field": -1.5}
)
"""What it adds within the chosen passage, where something else may answer better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCandidate:
    """A unit of a hit that may answer a question.

    Attributes:
        hit: The hit.
        unit: A unit of its chunk.
        features: The features that it is scored by.
        form: What its form says.
        span: The best short answer in the unit, in `unit.text`.
    """

    hit: Hit
    unit: Unit
    features: UnitFeatures
    form: Suitability
    span: SpanReading | None

    @property
    def score(self) -> float:
        """The score that passages are chosen by: that of the best of their units."""
        return RANKING.score(self.features) + FORM.score(self.form)

    @property
    def suited(self) -> float:
        """The score that a unit of the chosen passage is chosen by."""
        return self.score + UNSUITED.score(self.form)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadPassage:
    """A hit with its units and their joined text, which the network reads."""

    hit: Hit
    rank: int
    units: tuple[Unit, ...]

    @property
    def text(self) -> str:
        return _SEPARATOR.join(lead + unit.text for lead, unit in self._led())

    def _led(self) -> Iterator[tuple[str, Unit]]:
        """Yield each unit with what the network reads before it: the question that it answers."""
        question = ""
        for unit in self.units:
            yield f"{unit.question} " if unit.question not in {"", question} else "", unit
            question = unit.question

    def headings(self, unit: Unit) -> str:
        """Return title and headings above a unit."""
        header = self.hit.chunk.header
        return header if header.endswith(unit.heading) else f"{header} > {unit.heading}"

    def referred_years(self) -> Iterator[str]:
        """Yield for each unit the year that "in the same year" in it means; empty for none."""
        last = ""
        for unit in self.units:
            yield last if SAME_YEAR.search(unit.text) else ""
            years = YEAR.findall(unit.text)
            last = years[-1] if years else last

    def spans(self, reading: Reading) -> Iterator[tuple[Unit, SpanReading | None]]:
        """Yield each unit with the best short answer in it."""
        offset = 0
        for lead, unit in self._led():
            offset += len(lead)
            parts = unit.plain.parts or ((0, len(unit.text)),)
            found = [reading.best(offset + start, offset + end) for start, end in parts]
            span = max((one for one in found if one), key=attrgetter("score"), default=None)
            if span is not None:
                span = replace(span, start=span.start - offset, end=span.end - offset)
            yield unit, span
            offset += len(unit.text) + len(_SEPARATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AskedQuestion:
    """A question's likeness to the texts of the hits."""

    cosines: Mapping[str, float]
    words: QuestionWords

    def features(
        self,
        passage: _ReadPassage,
        unit: Unit,
        *,
        span: SpanReading | None,
        year: str,
        relevance: float,
    ) -> UnitFeatures:
        """Return the features of a unit of a passage, which refers to a year or to none."""
        headings = passage.headings(unit)
        return UnitFeatures(
            similarity=self.cosines[unit.asked_text],
            context_coverage=self.words.coverage(f"{headings}\n{unit.text} {year}"),
            heading=self.cosines[unit.heading],
            heading_coverage=self.words.coverage(headings),
            passage_coverage=self.words.coverage(f"{passage.hit.chunk.header}\n{passage.text}"),
            span=_NO_SPAN if span is None else min(span.score, MOST_SPAN),
            relevance=relevance,
            rank=1 / passage.rank,
            words=math.log1p(len(unit.text.split())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReader:
    """Finds the units of hits and their features, with a cross-encoder and the index's embedder."""

    model: CrossEncoderModel
    embedder: Embedder
    language: str = "english"
    vectors: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    """Vectors of texts that were rated before; questions meet the same passages again."""

    async def read(self, question: str, hits: Sequence[Hit]) -> list[list[UnitCandidate]]:
        """Return the units of every hit that has any, in reading order."""
        passages = [
            _ReadPassage(hit=hit, rank=rank, units=units)
            for rank, hit in enumerate(hits, start=1)
            if (units := tuple(units_of(hit.chunk, self.language)))
        ]
        if not passages:
            return []
        texts = [passage.text for passage in passages]
        headers = [passage.hit.chunk.header for passage in passages]
        readings = await asyncio.to_thread(self.model.read, question, texts, headers=headers)
        asked = _AskedQuestion(
            cosines=await self._cosines(question, passages),
            words=QuestionWords(
                question, [unit.text for one in passages for unit in one.units], self.language
            ),
        )
        form = AskedForm(question, question_kind(question))
        return [
            [
                UnitCandidate(
                    hit=passage.hit,
                    unit=unit,
                    features=asked.features(
                        passage, unit, span=span, year=year, relevance=reading.relevance
                    ),
                    form=form.suitability(unit, passage.headings(unit)),
                    span=span,
                )
                for (unit, span), year in zip(
                    passage.spans(reading), passage.referred_years(), strict=True
                )
            ]
            for passage, reading in zip(passages, readings, strict=True)
        ]

    async def _cosines(self, question: str, passages: Sequence[_ReadPassage]) -> dict[str, float]:
        """Return the cosine of the question with every text that features are about."""
        texts: set[str] = set()
        for passage in passages:
            for unit in passage.units:
                texts |= {unit.asked_text, unit.heading}
        query = (await self.embedder.embed([question], task="query"))[0]
        kept = self.vectors
        by_length = sorted(texts - kept.keys(), key=lambda text: (len(text), text))
        found = {text: kept[text] for text in texts & kept.keys()}
        for first in range(0, len(by_length), _BATCH):
            batch = by_length[first : first + _BATCH]
            made = await self.embedder.embed([text[:_LONGEST] or " " for text in batch])
            found |= dict(zip(batch, made, strict=True))
        if len(kept) + len(by_length) > _KEPT:
            kept.clear()
        kept |= {text: found[text] for text in by_length}
        return {text: float(vector @ query) for text, vector in found.items()}
