"""Short answers without a language model: the span of a passage that answers, or abstention."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ragkit.answering.abstention import AbstainingAnswerer, probability
from ragkit.answering.citation import citable, citation
from ragkit.answering.features import Features, LinearScore, sentence_features
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Chunk, Citation, Hit
from ragkit.models.cross_encoder import CrossEncoderModel, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFeatures(Features):
    """Features of a span: those of its sentence, and the network's two logits."""

    span: float
    relevance: float


# Both are fitted by `training/calibrate_reader.py`.
RANKING = LinearScore(
    {
        "similarity": 2.637,
        "in_context": 1.771,
        "coverage": 0.439,
        "context_coverage": 5.999,
        "passage": 3.12,
        "span": 0.617,
        "relevance": -1.254,
    }
)
CONFIDENCE = LinearScore(
    {
        "similarity": 1.039,
        "in_context": -1.584,
        "coverage": 2.421,
        "context_coverage": 0.336,
        "passage": 4.85,
        "span": 0.152,
        "relevance": 0.114,
    },
    bias=-3.522,
)

NEARLY_AS_GOOD = 1.0
"""How far below the best, by `RANKING`, the same answer in another passage is cited too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCandidate:
    """A span of a hit that may answer the question: `hit.chunk.text[start:end]`.

    `quote` is the start and end of the sentences that it touches, in the same text.
    """

    hit: Hit
    start: int
    end: int
    quote: tuple[int, int]
    features: SpanFeatures

    @property
    def text(self) -> str:
        """The span, verbatim."""
        return self.hit.chunk.text[self.start : self.end]

    @property
    def score(self) -> float:
        """The score that the spans of a question are ordered by."""
        return RANKING.score(self.features)

    @property
    def confidence(self) -> float:
        """Estimated probability that the hits answer the question, if this is the best span."""
        return probability(CONFIDENCE.score(self.features))


class ReaderAnswerer(AbstainingAnswerer[SpanCandidate]):
    """Answers with the best span of all hits, cited by the sentences that hold it.

    Abstains below the confidence `settings.threshold`. The same words found in
    other passages are cited too, up to `settings.max_quotes`.
    """

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
        self._model = model
        self._embedder = embedder

    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[SpanCandidate]:
        """Return the best span of every hit, best first."""
        texts = [hit.chunk.text for hit in hits]
        headers = [hit.chunk.header for hit in hits]
        readings = await asyncio.to_thread(self._model.read, question, texts, headers=headers)
        spans = [
            (hit, one, self._quote(hit.chunk, one))
            for hit, one in zip(hits, readings, strict=True)
            if one.end > one.start
        ]
        quotes = [(hit, *quote) for hit, _, quote in spans]
        features = await sentence_features(
            question, quotes, self._embedder, language=self._language
        )
        found = [
            SpanCandidate(
                hit=hit,
                start=one.start,
                end=one.end,
                quote=quote,
                features=SpanFeatures(**asdict(own), span=one.score, relevance=one.relevance),
            )
            for (hit, one, quote), own in zip(spans, features, strict=True)
        ]
        return sorted(found, key=lambda item: -item.score)

    def _quote(self, chunk: Chunk, reading: Reading) -> tuple[int, int]:
        """Return the sentences that the span touches, or the span itself outside of sentences."""
        touched = [
            (first, last)
            for first, last in citable(chunk, self._language)
            if first < reading.end and last > reading.start
        ]
        first = min([reading.start, *(first for first, _ in touched)])
        return first, max([reading.end, *(last for _, last in touched)])

    def _choose(self, ranked: Sequence[SpanCandidate]) -> list[SpanCandidate]:
        words, least = ranked[0].text.casefold().split(), ranked[0].score - NEARLY_AS_GOOD
        agreeing = [
            item for item in ranked if item.text.casefold().split() == words and item.score >= least
        ]
        return agreeing[: self._settings.max_quotes]

    def _text(self, chosen: Sequence[SpanCandidate]) -> str:
        return chosen[0].text

    def _citation(self, item: SpanCandidate) -> Citation:
        return citation(item.hit.chunk, *item.quote)
