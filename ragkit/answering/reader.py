"""Short answers without a language model: the span of a passage that answers, or abstention."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ragkit.answering.abstention import AbstainingAnswerer, Draft, probability
from ragkit.answering.features import Features, LinearScore, sentence_features
from ragkit.answering.markup import is_literal, plain_text
from ragkit.answering.units import Unit, units_of
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import AnswerSpan, Chunk, Citation, Hit
from ragkit.models.cross_encoder import CrossEncoderModel, SpanReading


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
"""The same span in other passages is cited up to this far below the best, by `RANKING`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCandidate:
    """A span of a hit that may answer the question.

    `text` is the span without markup; `start` and `end` are those of the units of the chunk's text
    that it touches.
    """

    hit: Hit
    text: str
    start: int
    end: int
    features: SpanFeatures

    @property
    def score(self) -> float:
        """The score that the spans of a question are ordered by."""
        return RANKING.score(self.features)

    @property
    def confidence(self) -> float:
        """Estimated probability that the hits answer the question, if this is the best span."""
        return probability(CONFIDENCE.score(self.features))


class ReaderAnswerer(AbstainingAnswerer):
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

    async def draft(self, question: str, hits: Sequence[Hit]) -> Draft | None:
        """Return the best span, cited with the same span in other passages."""
        ranked = await self.candidates(question, hits)
        if not ranked:
            return None
        best = ranked[0]
        words, least = best.text.casefold().split(), best.score - NEARLY_AS_GOOD
        agreeing = [
            item for item in ranked if item.text.casefold().split() == words and item.score >= least
        ]
        return Draft(
            text=best.text,
            citations=tuple(
                Citation.of(item.hit.chunk, item.start, item.end)
                for item in agreeing[: self._settings.max_quotes]
            ),
            confidence=best.confidence,
            span=AnswerSpan(text=best.text, start=0, end=len(best.text)),
        )

    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[SpanCandidate]:
        """Return the best span of every hit, best first."""
        texts = [hit.chunk.text for hit in hits]
        headers = [hit.chunk.header for hit in hits]
        readings = await asyncio.to_thread(self._model.read, question, texts, headers=headers)
        spans: list[tuple[Hit, SpanReading, float]] = []
        for hit, reading in zip(hits, readings, strict=True):
            span = reading.best()
            if span is not None and span.end > span.start:
                spans.append((hit, span, reading.relevance))
        held = [(hit, *self._held(hit.chunk, span)) for hit, span, _ in spans]
        features = await sentence_features(
            question,
            [(hit, start, end) for hit, _, start, end in held],
            self._embedder,
            language=self._language,
        )
        found = [
            SpanCandidate(
                hit=hit,
                text=text,
                start=start,
                end=end,
                features=SpanFeatures(**asdict(own), span=span.score, relevance=relevance),
            )
            for (hit, text, start, end), (_, span, relevance), own in zip(
                held, spans, features, strict=True
            )
        ]
        return sorted(found, key=lambda item: -item.score)

    def _held(self, chunk: Chunk, span: SpanReading) -> tuple[str, int, int]:
        """Return the span without markup, and start and end of the units that it touches."""
        touched = [
            unit
            for unit in units_of(chunk, self._language)
            if unit.start < span.end and unit.end > span.start
        ]
        first = min([span.start, *(unit.start for unit in touched)])
        last = max([span.end, *(unit.end for unit in touched)])
        return _text_of(chunk, span, touched), first, last


def _text_of(chunk: Chunk, span: SpanReading, touched: Sequence[Unit]) -> str:
    if len(touched) == 1:
        plain = touched[0].plain
        start, end = max(0, plain.locate(span.start + 1) - 1), plain.locate(span.end)
        if start < end:
            start, end = plain.snapped(start, end)
            return plain.text[start:end].strip()
    return plain_text(chunk.text, span.start, span.end, literal=is_literal(chunk.uri)).text
