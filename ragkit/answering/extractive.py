"""Answers without a language model: the best sentences, verbatim, or abstention."""

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.answering.abstention import AbstainingAnswerer, probability
from ragkit.answering.citation import citable, citation
from ragkit.answering.features import Features, LinearScore, sentence_features
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Citation, Hit

NEARLY_AS_GOOD = 0.5
"""How far below the best score, in log-odds, a sentence is quoted too."""

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
    """A sentence of a hit, `hit.chunk.text[start:end]`, with its features."""

    hit: Hit
    start: int
    end: int
    features: Features

    @property
    def quote(self) -> str:
        """The sentence, verbatim."""
        return self.hit.chunk.text[self.start : self.end]

    @property
    def score(self) -> float:
        """The score that candidates are ordered by."""
        return RANKING.score(self.features)

    @property
    def confidence(self) -> float:
        """Estimated probability that the documents answer the question, if this is the best."""
        return probability(CONFIDENCE.score(self.features))


class ExtractiveAnswerer(AbstainingAnswerer[SentenceCandidate]):
    """Answers with up to `max_quotes` verbatim sentences of the hits.

    Abstains below the confidence `settings.threshold`. `training/calibrate_extractive.py` fits the
    weights; see docs/answering.md.
    """

    def __init__(
        self, embedder: Embedder, *, settings: AnswerSettings, language: str = "english"
    ) -> None:
        """Use the embedder that the index was built with."""
        super().__init__(settings, language)
        self._embedder = embedder

    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[SentenceCandidate]:
        """Return every sentence of the hits, best first."""
        spans = [
            (hit, start, end) for hit in hits for start, end in citable(hit.chunk, self._language)
        ]
        features = await sentence_features(question, spans, self._embedder, language=self._language)
        found = [
            SentenceCandidate(hit=hit, start=start, end=end, features=one)
            for (hit, start, end), one in zip(spans, features, strict=True)
        ]
        return sorted(found, key=lambda item: -item.score)

    def _choose(self, ranked: Sequence[SentenceCandidate]) -> list[SentenceCandidate]:
        """Return the best candidate and those nearly as good, each sentence once."""
        chosen: dict[str, SentenceCandidate] = {}
        for item in ranked:
            near = item.score >= ranked[0].score - NEARLY_AS_GOOD
            if near and len(chosen) < self._settings.max_quotes:
                chosen.setdefault(item.quote, item)
        return list(chosen.values())

    def _text(self, chosen: Sequence[SentenceCandidate]) -> str:
        return " ".join(item.quote for item in chosen)

    def _citation(self, item: SentenceCandidate) -> Citation:
        return citation(item.hit.chunk, item.start, item.end)
