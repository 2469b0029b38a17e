"""Features of a part of a passage as an answer, and their weighted sum."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit.core.protocols import Embedder
from ragkit.core.text import terms
from ragkit.core.types import Hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features of a sentence, or of a span in it; each is at most 1.

    `similarity` is the cosine of question and sentence, `in_context` that of question and sentence
    under its headings, `passage` that of question and whole passage; `coverage` is the share of
    the question's content words that the sentence has, `context_coverage` that of sentence and
    headings together.
    """

    similarity: float
    in_context: float
    coverage: float
    context_coverage: float
    passage: float


@dataclass(frozen=True, slots=True)
class LinearScore:
    """A weighted sum of features, by name."""

    weights: Mapping[str, float]
    bias: float = 0.0

    def score(self, features: object) -> float:
        """Return the sum over the features, attributes of an object, in log-odds."""
        pairs = ((weight, getattr(features, name)) for name, weight in self.weights.items())
        return self.bias + math.fsum(weight * value for weight, value in pairs)


async def sentence_features(
    question: str,
    spans: Sequence[tuple[Hit, int, int]],
    embedder: Embedder,
    *,
    language: str,
) -> list[Features]:
    """Return the features of `hit.chunk.text[start:end]` for every `(hit, start, end)`."""
    if not spans:
        return []
    hits = {hit.chunk.id: hit for hit, _, _ in spans}
    bare = [hit.chunk.text[start:end] for hit, start, end in spans]
    headed = [
        f"{hit.chunk.header}\n\n{text}" for (hit, _, _), text in zip(spans, bare, strict=True)
    ]
    texts = [*bare, *headed, *(hit.chunk.text for hit in hits.values())]
    query = (await embedder.embed([question], task="query"))[0]
    cosines = [float(value) for value in await embedder.embed(texts) @ query]
    passages = dict(zip(hits, cosines[-len(hits) :], strict=True))
    asked = set(terms(question, language=language))

    def coverage(text: str) -> float:
        return len(asked & set(terms(text, language=language))) / len(asked) if asked else 0.0

    return [
        Features(
            similarity=cosines[position],
            in_context=cosines[len(spans) + position],
            coverage=coverage(bare[position]),
            context_coverage=coverage(headed[position]),
            passage=passages[hit.chunk.id],
        )
        for position, (hit, _, _) in enumerate(spans)
    ]
