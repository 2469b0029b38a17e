"""Judged retrieval sets, indexed once as `RAG.ingest` would, for the benchmarks of retrieval."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragkit.core.protocols import Index, Tokenizer
from ragkit.core.settings import EmbedderSettings, IndexSettings, Settings
from ragkit.core.types import Chunk, FloatArray, Task
from ragkit.evaluation.datasets import RetrievalDataset, load_beir
from ragkit.evaluation.retrieval import index_dataset
from ragkit.index.build import build_index, identity_for
from ragkit.ingest.build import build_chunker
from ragkit.ingest.passage import passage_text
from ragkit.ingest.pipeline import Pipeline
from ragkit.models.build import build_embedder
from ragkit.models.matryoshka import load_rotation
from ragkit.models.packaged import CROSS_ENCODER, MINILM, ROTATIONS, verified_weights

CACHE = Path(".ragkit/benchmarks")
SEARCHED = 64
WEIGHTS = f"{ROTATIONS[MINILM.name].sha256[:8]}-{CROSS_ENCODER.sha256[:8]}"
"""What figures of the packaged weights are kept under."""


def chosen(folder: Path, sets: str | None) -> list[Path]:
    """The data sets in a folder, or those named, separated by commas."""
    if sets:
        return [folder / name for name in sets.split(",")]
    found = sorted(path for path in folder.iterdir() if (path / "qrels").is_dir())
    if not found:
        raise SystemExit(
            f"No data set in {str(folder)!r}: one has corpus.jsonl and qrels/test.tsv."
        )
    return found


def packaged_rotation() -> FloatArray:
    """The packaged model's own."""
    return load_rotation(verified_weights(ROTATIONS[MINILM.name]), dimensions=MINILM.dimensions)


class Kept:
    """An embedder that keeps what it made in a file, and turns it by a rotation afterwards."""

    def __init__(self, file: Path, rotation: FloatArray | None) -> None:
        """Go on with the vectors in the file."""
        self._inner = build_embedder(EmbedderSettings(rotation=None))
        self._rotation = rotation
        self._file = file
        self._known: dict[str, FloatArray] = {}
        if file.is_file():
            with np.load(file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    @property
    def identity(self) -> tuple[str, str]:
        """The model's, with the rotation's digest."""
        name, revision = self._inner.identity
        turned = b"" if self._rotation is None else self._rotation.tobytes()
        return name, f"{revision}+{hashlib.sha256(turned).hexdigest()[:8]}"

    @property
    def dimensions(self) -> int:
        """The model's."""
        return self._inner.dimensions

    @property
    def prompts(self) -> Mapping[Task, str]:
        """The model's."""
        return self._inner.prompts

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return self._inner.tokenizer

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """See `Embedder.embed`."""
        plain = await self.plain(texts, task=task)
        return plain if self._rotation is None else plain @ self._rotation

    async def plain(self, texts: Sequence[str], *, task: Task = "passage") -> FloatArray:
        """Vectors before the rotation."""
        keys = [hashlib.sha256(f"{task}\n{text}".encode()).hexdigest()[:24] for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            vectors = await self._inner.embed(list(new.values()), task=task)
            self._known.update(zip(new, vectors, strict=True))
        return np.stack([self._known[key] for key in keys])

    def save(self) -> None:
        """Write the file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self._file, keys=list(self._known), vectors=np.stack(list(self._known.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A set with its index; `vectors[i]` is that of `chunks[i]`, before the rotation."""

    dataset: RetrievalDataset
    index: Index
    embedder: Kept
    chunks: Sequence[Chunk]
    vectors: FloatArray
    queries: FloatArray


@asynccontextmanager
async def prepared(
    folder: Path,
    *,
    limit: int | None,
    seed: int,
    rotation: FloatArray | None,
    search_dimensions: int | None,
) -> AsyncGenerator[Prepared]:
    """Index a set, or open the index of an earlier run; `limit` of its queries are drawn."""
    dataset = load_beir(folder).limited(limit, seed=seed)
    kept = Kept(CACHE / f"{dataset.name}.npz", rotation)
    settings = Settings()
    chunker = build_chunker(settings, kept.tokenizer)
    chunks = [chunk for document in dataset.documents for chunk in chunker.chunk(document)]
    order = sorted(range(len(chunks)), key=lambda at: len(chunks[at].text))
    texts = [passage_text(chunk, kept.tokenizer) for chunk in chunks]
    await kept.plain([texts[at] for at in order])
    vectors = await kept.plain(texts)
    queries = await kept.plain(list(dataset.queries.values()), task="query")
    kept.save()
    stored = IndexSettings(search_dimensions=search_dimensions)
    identity = identity_for(kept, stored)
    digest = hashlib.sha256(repr((identity, chunker.identity)).encode()).hexdigest()[:12]
    place = str(CACHE / f"{dataset.name}-{digest}")
    index = await build_index(stored.model_copy(update={"location": place}), identity)
    try:
        pipeline = Pipeline(index=index, chunker=chunker, embedder=kept, batch_chunks=512)
        await index_dataset(pipeline, dataset)
        yield Prepared(
            dataset=dataset,
            index=index,
            embedder=kept,
            chunks=chunks,
            vectors=vectors,
            queries=queries,
        )
    finally:
        await index.close()
