"""Late chunking on a cluster: parts of texts go to the actors as parts of texts."""

from collections.abc import Callable, Sequence

import numpy as np

from ragkit.core.protocols import SpanEmbedder
from ragkit.core.settings import RaySettings
from ragkit.core.types import FloatArray, TextSpan
from ragkit.ingest.cluster.engine import RayEngine
from ragkit.ingest.cluster.ray_cluster import RayCluster
from ragkit.ingest.cluster.worker import EmbeddingWorker
from ragkit.ingest.workers.process import ParserLimits
from ragkit.testing import HashEmbedder


class PartEmbedder(HashEmbedder):
    """Embeds each part of a text by itself, and says that the first was cut."""

    async def embed_spans(
        self,
        spans: Sequence[TextSpan],
        *,
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        if on_truncated is not None:
            on_truncated(0, 999)
        return await self.embed([text[start:end] for text, start, end in spans])


async def test_what_stands_for_the_embedder_takes_parts_of_texts_as_it_does() -> None:
    engine = RayEngine(RayCluster(RaySettings()), limits=ParserLimits())
    assert isinstance(engine.embedder(PartEmbedder(dimensions=64)), SpanEmbedder)
    assert not isinstance(engine.embedder(HashEmbedder(dimensions=64)), SpanEmbedder)
    await engine.close()


def test_an_actor_embeds_parts_and_tells_which_were_cut() -> None:
    embedder = PartEmbedder(dimensions=64)
    worker = EmbeddingWorker()
    vars(worker)["_parts"] = (embedder,)
    spans = [TextSpan("A wolf. A sheep.", 0, 7), TextSpan("A wolf. A sheep.", 8, 16)]
    vectors, cut = worker.embed_spans([], spans)
    alone, none_cut = worker.embed([], ["A wolf.", "A sheep."])
    assert (cut, none_cut) == ([(0, 999)], [])
    assert np.array_equal(vectors, alone)
