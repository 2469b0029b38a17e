"""Made-up data with the shape of real data, so that benchmarks need nothing but the repository."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragkit.core.protocols import Entry
from ragkit.core.types import (
    Chunk,
    DocumentRecord,
    FloatArray,
    IndexIdentity,
    stable_id,
    versioned,
)
from ragkit.core.vectors import unit

CORPUS = Path(__file__).parents[1] / "examples" / "corpus"
DIMENSIONS = 384
PREFIX = 128
IDENTITY = IndexIdentity(
    embedder="benchmark",
    revision="",
    dimensions=DIMENSIONS,
    search_dimensions=PREFIX,
    query_prompt="",
    passage_prompt="",
    language="english",
)
"""An index of such vectors."""
_CLUSTERS = 256
_CHUNKS_PER_DOCUMENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Texts of about 150 words whose words are as frequent as in the example corpus, with vectors.

    `vectors` and `query_vectors` are float32 `[n, 384]` of unit length, in 256 clusters.
    """

    texts: list[str]
    vectors: FloatArray
    queries: list[str]
    query_vectors: FloatArray

    def entries(self) -> list[Entry]:
        """The texts as documents of ten chunks."""
        found: list[Entry] = []
        for first in range(0, len(self.texts), _CHUNKS_PER_DOCUMENT):
            texts = self.texts[first : first + _CHUNKS_PER_DOCUMENT]
            uri = f"document-{first}"
            generation = stable_id("generation", uri)
            made = (Chunk(id="", uri=uri, title="", text=t, start=0, end=len(t)) for t in texts)
            chunks = versioned(made, generation)
            record = DocumentRecord(
                uri=uri,
                tenant="default",
                title="",
                content_hash=uri,
                pipeline="benchmark",
                chunks=len(chunks),
                generation=generation,
            )
            vectors = self.vectors[first : first + len(texts)]
            found.append(Entry(record=record, chunks=chunks, vectors=vectors))
        return found


def make(chunks: int, *, queries: int = 200, seed: int = 0) -> Made:
    """Draw chunks and queries; the same arguments give the same data."""
    draw = np.random.default_rng(seed)
    words = re.findall(
        r"[a-z]+", " ".join(p.read_text("utf-8") for p in CORPUS.rglob("*.md")).lower()
    )
    lengths = draw.integers(100, 200, size=chunks)
    texts = [" ".join(draw.choice(words, size=length)) for length in lengths]
    centres = draw.normal(size=(_CLUSTERS, DIMENSIONS))
    vectors = unit(
        centres[draw.integers(0, _CLUSTERS, chunks)] + draw.normal(size=(chunks, DIMENSIONS))
    )
    asked = draw.integers(0, chunks, size=queries)
    return Made(
        texts=texts,
        vectors=vectors,
        queries=[" ".join(texts[i].split()[:8]) for i in asked],
        query_vectors=unit(vectors[asked] + 0.02 * draw.normal(size=(queries, DIMENSIONS))),
    )
