"""The contract of `Embedder`, as a test suite to subclass.

```python
class TestMyEmbedder(EmbedderContract):
    def make_embedder(self, *, dimensions=None, query_prompt="", passage_prompt=""):
        return MyEmbedder(...)
```
"""

# ruff: noqa: D102 - a test's name says the behaviour

import logging
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest

from ragkit.core.protocols import Embedder

TEXTS = (
    "The wolf hunts in packs at night.",
    "A",
    "Interest rates rose by a quarter point, and the bond market fell; analysts had expected it.",
    "Ein Satz mit Ümläuten, 日本語 and an emoji 🐺.",
    "  white space \n around\t",
)


class EmbedderContract(ABC):
    """Tests of `Embedder`; batching may change a component by up to `tolerance`."""

    tolerance: ClassVar[float] = 0.02
    """Arithmetic in bfloat16 depends on the padding, to about two decimals."""
    prefix_dimensions: ClassVar[int] = 32

    @abstractmethod
    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> Embedder:
        """The embedder under test, with its own dimensions where None."""

    async def test_a_vector_of_unit_length_for_each_text(self) -> None:
        embedder = self.make_embedder()
        vectors = await embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    async def test_no_texts_give_no_vectors(self) -> None:
        embedder = self.make_embedder()
        vectors = await embedder.embed([])
        assert vectors.shape == (0, embedder.dimensions)
        assert vectors.dtype == np.float32

    async def test_an_empty_text_has_a_vector(self) -> None:
        vectors = await self.make_embedder().embed([""])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    async def test_the_same_text_has_the_same_vector(self) -> None:
        embedder = self.make_embedder()
        first, second = await embedder.embed([TEXTS[0], TEXTS[0]])
        np.testing.assert_allclose(first, second, atol=1e-6)
        np.testing.assert_array_equal(await embedder.embed(TEXTS), await embedder.embed(TEXTS))

    async def test_neither_order_nor_batch_matters(self) -> None:
        embedder = self.make_embedder()
        together = await embedder.embed(TEXTS)
        backwards = await embedder.embed(TEXTS[::-1])
        alone = np.concatenate([await embedder.embed([text]) for text in TEXTS])
        np.testing.assert_allclose(backwards[::-1], together, atol=self.tolerance)
        np.testing.assert_allclose(alone, together, atol=self.tolerance)

    async def test_a_passage_about_the_query_is_nearer_than_another(self) -> None:
        embedder = self.make_embedder()
        query = (await embedder.embed(["Which animal hunts at night?"], task="query"))[0]
        scores = await embedder.embed([TEXTS[0], TEXTS[2]]) @ query
        assert scores[0] > scores[1]

    async def test_a_task_puts_its_own_prompt_first(self) -> None:
        embedder = self.make_embedder(query_prompt="query: ", passage_prompt="passage: ")
        bare = self.make_embedder()
        assert embedder.prompts == {"query": "query: ", "passage": "passage: "}
        assert bare.prompts == {"query": "", "passage": ""}
        for task, prompt in embedder.prompts.items():
            prompted = await embedder.embed([TEXTS[0]], task=task)
            written_out = await bare.embed([prompt + TEXTS[0]])
            np.testing.assert_allclose(prompted, written_out, atol=self.tolerance)

    async def test_fewer_dimensions_are_a_prefix_of_unit_length(self) -> None:
        whole, short = self.make_embedder(), self.make_embedder(dimensions=self.prefix_dimensions)
        assert short.dimensions == self.prefix_dimensions < whole.dimensions
        prefix = (await whole.embed(TEXTS))[:, : short.dimensions]
        prefix /= np.linalg.norm(prefix, axis=1, keepdims=True)
        np.testing.assert_allclose(await short.embed(TEXTS), prefix, atol=self.tolerance)

    async def test_a_text_that_is_cut_is_reported_with_its_length(self) -> None:
        embedder = self.make_embedder()
        long = "wolf " * (embedder.tokenizer.max_tokens + 10)
        cut: list[tuple[int, int]] = []
        vectors = await embedder.embed(
            ["short", long, "short"], on_truncated=lambda at, tokens: cut.append((at, tokens))
        )
        assert cut == [(1, len(embedder.tokenizer.token_starts(long)))]
        np.testing.assert_allclose(vectors[0], vectors[2], atol=self.tolerance)

    async def test_a_text_of_just_the_limit_is_not_cut(self) -> None:
        embedder = self.make_embedder(passage_prompt="passage: ")
        text = ("wolf " * embedder.tokenizer.max_tokens).strip()
        assert len(embedder.tokenizer.token_starts(text)) == embedder.tokenizer.max_tokens
        cut: list[int] = []
        whole = await embedder.embed([text], on_truncated=lambda at, _: cut.append(at))
        assert cut == []
        # What lies beyond the limit has no influence.
        longer = text + " bond market"
        more = await embedder.embed([longer], on_truncated=lambda at, _: cut.append(at))
        assert cut == [0]
        np.testing.assert_allclose(more, whole, atol=self.tolerance)

    async def test_a_cut_text_is_logged_where_nobody_listens(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        embedder = self.make_embedder()
        with caplog.at_level(logging.WARNING):
            await embedder.embed(["wolf " * (embedder.tokenizer.max_tokens + 1)])
        assert "cut" in caplog.text

    def test_tokens_start_in_order_within_the_text(self) -> None:
        tokenizer = self.make_embedder().tokenizer
        assert tokenizer.max_tokens > 0
        assert list(tokenizer.token_starts("")) == []
        for text in TEXTS:
            starts = list(tokenizer.token_starts(text))
            assert starts == sorted(starts)
            assert starts
            assert all(0 <= start < len(text) for start in starts)

    def test_the_identity_is_a_name_and_a_revision_that_stay(self) -> None:
        assert all(self.make_embedder().identity)
        assert self.make_embedder().identity == self.make_embedder().identity
