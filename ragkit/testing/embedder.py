"""A double of `Embedder` that needs no model and gives the same vectors on every machine."""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ragkit.core.text import terms
from ragkit.core.types import FloatArray, Task

logger = logging.getLogger(__name__)

_WORD = re.compile(r"\S+")


class WordTokenizer:
    """A double of `Tokenizer`: every run of characters without white space is a token."""

    def __init__(self, *, max_tokens: int = 256) -> None:
        """Report that a model reads `max_tokens` words."""
        self._max_tokens = max_tokens

    @property
    def max_tokens(self) -> int:
        """Words that are read; the rest is cut off."""
        return self._max_tokens

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each word starts, in order."""
        return [match.start() for match in _WORD.finditer(text)]


class HashEmbedder:
    """An embedder for tests: each word stem has a random direction, and a text has their sum.

    Texts that share stems are near, others nearly orthogonal (the more so, the more dimensions).
    It does not know meanings. A vector of fewer dimensions is a prefix of a longer one, as with
    a Matryoshka model.
    """

    def __init__(
        self,
        *,
        dimensions: int = 64,
        max_tokens: int = 256,
        query_prompt: str = "",
        passage_prompt: str = "",
    ) -> None:
        """Choose the shape of the model."""
        self._dimensions = dimensions
        self._tokenizer = WordTokenizer(max_tokens=max_tokens)
        self._prompts: Mapping[Task, str] = {"query": query_prompt, "passage": passage_prompt}

    @property
    def identity(self) -> tuple[str, str]:
        """Model name and revision."""
        return "hash", "1"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def prompts(self) -> Mapping[Task, str]:
        """The text put before a query and before a passage."""
        return self._prompts

    @property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer, which counts words."""
        return self._tokenizer

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed texts into float32 `[n, dimensions]`, each row of unit length."""
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for position, text in enumerate(texts):
            read = self._cut(text, position, on_truncated or _warn)
            vectors[position] = self._vector(self._prompts[task] + read)
        return vectors

    def _cut(self, text: str, position: int, on_truncated: Callable[[int, int], None]) -> str:
        starts = self._tokenizer.token_starts(text)
        limit = self._tokenizer.max_tokens
        if len(starts) <= limit:
            return text
        on_truncated(position, len(starts))
        return text[: starts[limit]]

    def _vector(self, text: str) -> FloatArray:
        # A text without words has a direction of its own.
        total = sum(self._direction(word) for word in terms(text) or [text])
        vector = np.asarray(total, dtype=np.float32)
        if not vector.any():  # stems that cancel each other out
            vector = self._direction(text)
        unit: FloatArray = vector / np.float32(np.linalg.norm(vector))
        return unit

    def _direction(self, word: str) -> FloatArray:
        # SHAKE-256's shorter outputs are prefixes of its longer ones.
        digest = hashlib.shake_256(word.encode()).digest(-(-self._dimensions // 8))
        bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))[: self._dimensions]
        return bits.astype(np.float32) * 2 - 1


def _warn(position: int, tokens: int) -> None:
    logger.warning(
        "Text %d has %d tokens, more than the model reads; it was cut.", position, tokens
    )
