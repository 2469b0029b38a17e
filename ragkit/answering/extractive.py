"""Answers without a language model: the best sentences, verbatim, or abstention."""

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.answering.abstention import AbstainingAnswerer, Draft, probability
from ragkit.answering.features import Features, LinearScore, sentence_features
from ragkit.answering.units import Unit, units_of
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Citation, Hit

NEARLY_AS_GOOD = 0.5
"""Sentences up to this far below the best score, in log-odds, are quoted too."""

RANKING = LinearScore(
    {
        "similarity": 5.14,
        "in_context": 1.97,
        "coverage": 0.81,
        "context_coverage": 1.66,
        "passage": -2.75,
    },
    bias=-2.57,
)
CONFIDENCE = LinearScore(
    {
        "similarity": 6.82,
        "in_context": 5.95,
        "coverage": 2.63,
        "context_coverage": 2.6,
        "passage": 3.71,
    },
    bias=-10.36,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceCandidate:
    """A sentence of a hit, or another unit of its text, with its features."""

    hit: Hit
    unit: Unit
    features: Features

    @property
    def quote(self) -> str:
        """The sentence, verbatim."""
        return self.hit.chunk.text[self.unit.start : self.unit.end]

    @property
    def score(self) -> float:
        """The score that candidates are ordered by."""
        return RANKING.score(self.features)

    @property
    def confidence(self) -> float:
        """Estimated probability that the documents answer the question, if this is the best."""
        return probability(CONFIDENCE.score(self.features))


class ExtractiveAnswerer(AbstainingAnswerer):
    """Answers with up to `max_quotes` sentences of the hits.

    Abstains below the confidence `settings.threshold`. `training/calibrate_extractive.py` fits the
    weights; see docs/answering.md.
    """

    def __init__(
        self, embedder: Embedder, *, settings: AnswerSettings, language: str = "english"
    ) -> None:
        """Use the embedder that the index was built with."""
        super().__init__(settings, language)
        self._embedder = embedder

    async def draft(self, question: str, hits: Sequence[Hit]) -> Draft | None:
        """Return the best candidate and those nearly as good, each sentence once."""
        ranked = await self.candidates(question, hits)
        chosen: dict[str, SentenceCandidate] = {}
        for item in ranked:
            near = item.score >= ranked[0].score - NEARLY_AS_GOOD
            if near and len(chosen) < self._settings.max_quotes:
                chosen.setdefault(item.quote, item)
        if not chosen:
            return None
        return Draft(
            text=" ".join(item.unit.text for item in chosen.values()),
            citations=tuple(
                Citation.of(item.hit.chunk, item.unit.start, item.unit.end)
                for item in chosen.values()
            ),
            confidence=ranked[0].confidence,
        )

    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[SentenceCandidate]:
        """Return every sentence of the hits, best first."""
        found = [(hit, unit) for hit in hits for unit in units_of(hit.chunk, self._language)]
        spans = [(hit, unit.start, unit.end) for hit, unit in found]
        features = await sentence_features(question, spans, self._embedder, language=self._language)
        candidates = [
            SentenceCandidate(hit=hit, unit=unit, features=one)
            for (hit, unit), one in zip(found, features, strict=True)
        ]
        return sorted(candidates, key=lambda item: -item.score)
