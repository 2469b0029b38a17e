"""Late chunking with the packaged model: parts of texts, and the index that they are stored in."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ragkit import RAG, ConfigError, IndexMismatch, Settings
from ragkit.core.protocols import Embedder, SpanEmbedder
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import TextSpan
from ragkit.models.build import build_embedder
from ragkit.models.packaged import packaged_folder
from ragkit.testing import EmbedderContract

LATE = EmbedderSettings(late_chunking=True, dtype="float32")
FIRST = "Berlin is the capital of Germany. "
SECOND = "Its more than three million inhabitants make it the largest city of the country."


@functools.cache
def late_embedder(dimensions: int | None, query_prompt: str, passage_prompt: str) -> Embedder:
    """One model for all tests."""
    options = {
        "dimensions": dimensions,
        "query_prompt": query_prompt,
        "passage_prompt": passage_prompt,
    }
    return build_embedder(LATE.model_copy(update=options))


def spans_of(*parts: str) -> list[TextSpan]:
    text, spans = "".join(parts), list[TextSpan]()
    for part in parts:
        start = spans[-1].end if spans else 0
        spans.append(TextSpan(text, start, start + len(part)))
    return spans


def embedder(**options: str) -> SpanEmbedder:
    found = late_embedder(None, options.get("query", ""), options.get("passage", ""))
    assert isinstance(found, SpanEmbedder)
    return found


class TestLateEmbedder(EmbedderContract):
    prefix_dimensions = 64

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> Embedder:
        return late_embedder(dimensions, query_prompt, passage_prompt)


@pytest.mark.parametrize("prompt", ["", "passage: "])
async def test_the_whole_of_a_text_has_nearly_the_vector_of_the_text(prompt: str) -> None:
    late = embedder(passage=prompt)
    texts = [FIRST, "Ümläute, 日本語 🐺", "  white space\n", FIRST * 3, SECOND]
    found = await late.embed_spans([TextSpan(text, 0, len(text)) for text in texts])
    # The marks around a text are no part of it.
    assert (np.sum(found * await late.embed(texts), axis=1) > 0.8).all()
    (empty,) = await late.embed_spans([TextSpan("", 0, 0)])
    np.testing.assert_allclose(empty, (await late.embed([""]))[0], atol=1e-5)


async def test_the_vector_of_a_part_is_the_mean_of_its_tokens() -> None:
    late, words = embedder(), ["wolf ", "bear ", "fish "]
    tokens = await late.embed_spans(spans_of(*words))
    (pair, last) = await late.embed_spans(spans_of("wolf bear ", "fish "))
    np.testing.assert_allclose(last, tokens[2], atol=1e-5)
    assert np.linalg.matrix_rank(np.stack([tokens[0], tokens[1], pair]), tol=1e-3) == 2


async def test_a_part_knows_what_stands_before_it() -> None:
    late = embedder()
    _, within = await late.embed_spans(spans_of(FIRST, SECOND))
    (alone,) = await late.embed([SECOND])
    (query,) = await late.embed(["How many people live in Berlin?"], task="query")
    assert within @ query > alone @ query + 0.1


async def test_neither_the_order_nor_the_others_change_a_part() -> None:
    late = embedder()
    spans = [*spans_of(FIRST, SECOND), *spans_of("日本語です。", "Ein Satz. ", SECOND * 3)]
    found = await late.embed_spans(spans)
    assert found.shape == (5, late.dimensions)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    order = [3, 0, 4, 2, 1]
    again = await late.embed_spans([spans[at] for at in order])
    np.testing.assert_allclose(again, found[order], atol=1e-5)
    for row, span in enumerate(spans):
        np.testing.assert_allclose((await late.embed_spans([span]))[0], found[row], atol=1e-5)


async def test_a_part_without_tokens_has_a_vector() -> None:
    late = embedder()
    found = await late.embed_spans(spans_of(FIRST, "   \n", "", SECOND))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (await late.embed_spans([])).shape == (0, late.dimensions)


async def test_parts_of_a_text_that_is_cut_are_reported() -> None:
    cut: list[tuple[int, int]] = []
    spans = [*spans_of(SECOND), *spans_of("wolf " * 200, "bear " * 200)]
    found = await embedder().embed_spans(spans, on_truncated=lambda at, n: cut.append((at, n)))
    assert cut == [(1, 400), (2, 400)]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_server_and_a_model_that_pools_otherwise_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"late_chunking needs the vectors of tokens.*Fix: set"):
        build_embedder(EmbedderSettings(model="vllm:http://127.0.0.1:1", late_chunking=True))
    folder = tmp_path / "cls"
    shutil.copytree(packaged_folder(), folder)
    pooling = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    model = f"sentence-transformers:{folder}"
    with (
        RAG(index=":memory:", embedder=EmbedderSettings(model=model, late_chunking=True)) as rag,
        pytest.raises(ConfigError, match=r"pools by the mean.*pooling 'cls'.*Fix: set"),
    ):
        rag.ingest(("a", SECOND))


def test_an_index_is_of_passages_embedded_late_or_not(tmp_path: Path) -> None:
    settings = Settings(embedder=LATE)
    text = (
        f"{FIRST}{SECOND} " + "The Spree flows through its middle, past islands and bridges. " * 40
    )
    with RAG(settings, index=tmp_path / "index", chunker="fixed:24") as rag:
        assert rag.ingest(("berlin", text)).ok
        chunks = rag.chunks("berlin")
        assert [text[one.start : one.end] for one in chunks] == [one.text for one in chunks]
        assert rag.search("What flows through Berlin?")[0].chunk.uri == "berlin"
        # Vectors of windows that did not change are kept, those of others are not.
        changed = rag.ingest(("berlin", text + "A last sentence about the airport of the city."))
        assert 0 < changed.kept < changed.chunks
        assert rag.ingest(("berlin", text), dry_run=True).tokens > 0
    with (
        RAG(Settings(), index=tmp_path / "index") as rag,
        pytest.raises(IndexMismatch, match=r"\+late-1"),
    ):
        rag.search("Berlin")
