"""`LateEmbedder`: passages embedded within the text around them (late chunking).

The network reads a text whole, and the vector of each of its parts is the mean over that part's
tokens, which have attended to all others (Günther et al. 2024, https://arxiv.org/abs/2409.04701).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray, TextSpan
from ragkit.models.embedding import Encoder, ModelEmbedder, too_long, warn_of_cut

_MARK = "+late-1"


class SpanEncoder(Encoder, Protocol):
    """An encoder that also gives vectors of parts of texts."""

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]], *, prompt: str
    ) -> FloatArray:
        """Return float32 `[n, dimensions]`, a row of unit length for each span, text by text.

        Args:
            texts: Each is read whole, after the prompt.
            spans: Of each text: first character, and the one behind the last.
            prompt: Put before each text.

        Raises:
            ConfigError: The model does not pool by the mean of its tokens.
        """
        ...


class LateEmbedder(ModelEmbedder):
    """The embedder of a span encoder; queries are embedded as by `ModelEmbedder`."""

    def __init__(self, settings: EmbedderSettings, encoder: SpanEncoder) -> None:
        """Use an encoder; nothing is loaded yet."""
        super().__init__(settings, encoder)
        self._span_encoder = encoder

    @property
    def identity(self) -> tuple[str, str]:
        """Model name and revision, of which late chunking is a part."""
        name, revision = super().identity
        return name, revision + _MARK

    async def embed_spans(
        self,
        spans: Sequence[TextSpan],
        *,
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """See `SpanEmbedder.embed_spans`."""
        return await asyncio.to_thread(self._embed_spans, spans, on_truncated or warn_of_cut)

    def _embed_spans(
        self, spans: Sequence[TextSpan], on_truncated: Callable[[int, int], None]
    ) -> FloatArray:
        if not spans:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        rows: dict[str, list[int]] = {}
        for row, span in enumerate(spans):
            rows.setdefault(span.text, []).append(row)
        texts = list(rows)
        for at, tokens in too_long(texts, self.tokenizer):
            for row in rows[texts[at]]:
                on_truncated(row, tokens)
        places = [[(spans[row].start, spans[row].end) for row in rows[text]] for text in texts]
        prompt = self.prompts["passage"]
        made = self.finished(self._span_encoder.encode_spans(texts, places, prompt=prompt))
        vectors = np.empty_like(made)
        vectors[[row for text in texts for row in rows[text]]] = made
        return vectors
