"""The building of an index again, with the parts of a `RAG`."""

import asyncio

from ragkit.core.errors import InputError
from ragkit.core.progress import OnProgress
from ragkit.index.build import identity_for
from ragkit.index.generation import next_generation
from ragkit.ingest.build import build_registry
from ragkit.ingest.rebuild import Rebuild, ReindexReport
from ragkit.ingest.redivision import Redivision
from ragkit.sdk.parts import RAGParts


async def reindex(parts: RAGParts, on_progress: OnProgress | None) -> ReindexReport:
    """Build the index of the settings again with their parts; see `AsyncRAG.reindex`."""
    if parts.has_own_index:
        raise InputError(
            "The index was passed as an object, and is not built again. Fix: pass its location."
        )
    settings = parts.settings
    wanted = await asyncio.to_thread(identity_for, parts.embedder, settings.index)
    redivision = Redivision(
        chunker=parts.chunker,
        registry=build_registry(settings.ingest, loaders=parts.loaders),
        context=settings.ingest.context,
    )
    identity = redivision.identity
    async with next_generation(settings.index, wanted, divided_by=identity) as generation:
        rebuild = Rebuild(
            generation,
            embedder=parts.embedder,
            redivision=redivision,
            batch_chunks=settings.ingest.batch_chunks,
            on_progress=on_progress,
            checkpoints=parts.checkpoints,
        )
        return await rebuild.run()
