"""The index that a location names: a folder, a server's URL, or memory."""

from pathlib import Path

from ragkit.core.protocols import Embedder, Index
from ragkit.core.settings import IndexSettings
from ragkit.core.text import check_language
from ragkit.core.types import IndexIdentity

MEMORY = ":memory:"


def identity_for(embedder: Embedder | None, settings: IndexSettings) -> IndexIdentity:
    """What an index built with these parts is; without an embedder it holds no vectors."""
    language = check_language(settings.language)
    if embedder is None:
        return IndexIdentity(
            embedder="",
            revision="",
            dimensions=0,
            search_dimensions=0,
            query_prompt="",
            passage_prompt="",
            language=language,
        )
    name, revision = embedder.identity
    full = embedder.dimensions
    return IndexIdentity(
        embedder=name,
        revision=revision,
        dimensions=full,
        search_dimensions=min(settings.search_dimensions or full, full),
        query_prompt=embedder.prompts["query"],
        passage_prompt=embedder.prompts["passage"],
        language=language,
    )


async def open_index(
    settings: IndexSettings, identity: IndexIdentity, *, create: bool = True
) -> Index:
    """Open the index at `settings.location`.

    Raises:
        InputError: There is none, and `create` is False.
        IndexMismatch: It was built with other parts.
        IndexLocked: It is a folder that another process has open.
    """
    location = settings.location
    if location == MEMORY:
        from ragkit.index.memory import MemoryIndex

        return MemoryIndex(identity, fields=settings.fields)
    if location.startswith(("http://", "https://")):
        from ragkit.index.server import QdrantIndex

        return await QdrantIndex.open(settings, identity, create=create)
    from ragkit.index.edge import EdgeIndex

    return await EdgeIndex.open(
        Path(location),
        identity,
        fields=settings.fields,
        create=create,
        quantization=settings.quantization,
    )
