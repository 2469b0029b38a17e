"""Memory and disk of a Qdrant collection in ragkit's layout, and the time to embed its chunks.

Source of the factor: Qdrant's capacity planning,
https://qdrant.tech/documentation/guides/capacity-planning.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Quantization
from ragkit.planning.load import check_positive

OVERHEAD = 1.5
"""For indexes, versions and the segments that exist while segments are merged."""
FULL_BYTES = 2
"""Vectors are stored in float16."""
LINKS = 16
"""HNSW's m: the ground layer has twice as many links for each point, of 4 bytes."""
QUANTISED_BYTES: Mapping[Quantization, float] = {"none": 0.0, "int8": 1.0, "binary": 1 / 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorStore:
    """Bytes of all replicas together, and seconds to embed (None without a rate).

    Attributes:
        memory: By quantisation, what a search touches: vectors, graph.
        disk: By quantisation: all vectors, graph and payload.
    """

    chunks: int
    dimensions: int
    search_dimensions: int
    replicas: int
    memory: Mapping[Quantization, int]
    disk: Mapping[Quantization, int]
    embed_s: float | None


def qdrant_rule(vectors: int, dimensions: int, value_bytes: float = 4) -> float:
    """Return Qdrant's rule for vectors that are all in memory: n x d x bytes x 1.5."""
    return vectors * dimensions * value_bytes * OVERHEAD


def plan_vector_store(
    chunks: int,
    *,
    dimensions: int,
    search_dimensions: int | None = None,
    replicas: int = 1,
    chunk_bytes: int = 2000,
    embed_rate: float | None = None,
) -> VectorStore:
    """Return what n chunks need.

    Args:
        chunks: Chunks of all documents.
        dimensions: Of the embeddings.
        search_dimensions: Of the prefix that is searched first; all by default.
        replicas: Copies of each shard.
        chunk_bytes: Payload of a chunk, with its text.
        embed_rate: Chunks per second that the embedder was measured at.

    Raises:
        InputError: A value is not above 0, or the prefix is longer than the embedding.
    """
    searched = dimensions if search_dimensions is None else search_dimensions
    given: dict[str, float] = {
        "chunks": chunks,
        "dimensions": dimensions,
        "search_dimensions": searched,
        "replicas": replicas,
        "chunk_bytes": chunk_bytes,
        "embed_rate": 1 if embed_rate is None else embed_rate,
    }
    for name, value in given.items():
        check_positive(name, value)
    if searched > dimensions:
        raise InputError(
            f"search_dimensions is {searched}, of {dimensions} dimensions. Fix: {dimensions} at "
            "most."
        )
    graph = chunks * 2 * LINKS * 4
    memory: dict[Quantization, int] = {}
    disk: dict[Quantization, int] = {}
    for name, size in QUANTISED_BYTES.items():
        # The quantised prefixes are always in memory; without them the prefixes themselves are.
        vectors = qdrant_rule(chunks, searched, size or FULL_BYTES)
        memory[name] = round(replicas * (vectors + graph * OVERHEAD))
        stored = dimensions * FULL_BYTES + searched * (FULL_BYTES + size) + chunk_bytes
        disk[name] = round(replicas * (chunks * stored + graph) * OVERHEAD)
    return VectorStore(
        chunks=chunks,
        dimensions=dimensions,
        search_dimensions=searched,
        replicas=replicas,
        memory=memory,
        disk=disk,
        embed_s=None if embed_rate is None else chunks / embed_rate,
    )
