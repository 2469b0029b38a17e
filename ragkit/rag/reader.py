"""Short answers without a language model: the span of a passage that answers, or abstention."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Citation, Hit
from ragkit.models.cross_encoder import CrossEncoderModel, Reading
from ragkit.rag.quotable import citation, quotable
from ragkit.rag.verbatim import VerbatimAnswerer, probability


class Weights(NamedTuple):
    """A linear score of a reading's span score and relevance."""

    span: float
    relevance: float
    bias: float = 0.0

    def score(self, reading: Reading) -> float:
        """The weighted sum."""
        return self.bias + self.span * reading.score + self.relevance * reading.relevance


# Both are fitted by `training/calibrate_reader.py`.
RANKING = Weights(span=0.555, relevance=-0.62)
CONFIDENCE = Weights(span=0.187, relevance=0.216, bias=-2.132)

NEARLY_AS_GOOD = 1.0
"""How far below the best, by `RANKING`, the same answer in another passage is cited too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A span of a hit that may answer the question."""

    hit: Hit
    reading: Reading

    @property
    def text(self) -> str:
        """The span, verbatim."""
        return self.hit.chunk.text[self.reading.start : self.reading.end]

    @property
    def score(self) -> float:
        """What the spans of a question are ordered by."""
        return RANKING.score(self.reading)

    @property
    def confidence(self) -> float:
        """Estimated probability that the hits answer the question, if this is the best span."""
        return probability(CONFIDENCE.score(self.reading))


class ReaderAnswerer(VerbatimAnswerer[Found]):
    """Answers with the best span of all hits, cited by the sentences that hold it.

    Abstains where the span's confidence is below `settings.threshold`. The same words found in
    other passages are cited too, up to `settings.max_quotes`.
    """

    def __init__(
        self,
        model: CrossEncoderModel,
        *,
        settings: AnswerSettings,
        language: str = "english",
    ) -> None:
        """Use a network, which may be the reranker's too."""
        super().__init__(settings, language)
        self._model = model

    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[Found]:
        """The best span of every hit, best first."""
        texts = [hit.chunk.text for hit in hits]
        headers = [hit.chunk.header for hit in hits]
        readings = await asyncio.to_thread(self._model.read, question, texts, headers=headers)
        found = [
            Found(hit=hit, reading=reading)
            for hit, reading in zip(hits, readings, strict=True)
            if reading.end > reading.start
        ]
        return sorted(found, key=lambda item: -item.score)

    def _choose(self, ranked: Sequence[Found]) -> list[Found]:
        words, least = ranked[0].text.casefold().split(), ranked[0].score - NEARLY_AS_GOOD
        agreeing = [
            item for item in ranked if item.text.casefold().split() == words and item.score >= least
        ]
        return agreeing[: self._settings.max_quotes]

    def _text(self, chosen: Sequence[Found]) -> str:
        return chosen[0].text

    def _citation(self, item: Found) -> Citation:
        """The sentences that the span touches, or the span where it stands in none of them."""
        chunk, start, end = item.hit.chunk, item.reading.start, item.reading.end
        touched = [
            (first, last)
            for first, last in quotable(chunk, self._language)
            if first < end and last > start
        ]
        first = min([start, *(first for first, _ in touched)])
        last = max([end, *(last for _, last in touched)])
        return citation(chunk, first, last)
