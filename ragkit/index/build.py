"""Building the index that a location names: a folder, a server's URL, or memory."""

import re
from pathlib import Path

from ragkit.core.protocols import Embedder, Index
from ragkit.core.settings import IndexSettings
from ragkit.core.text import check_language
from ragkit.core.types import IndexIdentity

SHARD_FILE = "edge_config.json"
"""A file that only the folder of an embedded index has."""
MEMORY = ":memory:"
REMOTE = "ragkit:"
"""What begins the location of an index behind a ragkit server, before its URL."""
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*:\d{1,5}/?")


def identity_for(embedder: Embedder | None, settings: IndexSettings) -> IndexIdentity:
    """Return the identity of an index of these parts; without an embedder it has no vectors."""
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
    return IndexIdentity(
        embedder=name,
        revision=revision,
        dimensions=embedder.dimensions,
        search_dimensions=searched_width(embedder.dimensions, settings),
        query_prompt=embedder.prompts["query"],
        passage_prompt=embedder.prompts["passage"],
        language=language,
    )


def searched_width(dimensions: int, settings: IndexSettings) -> int:
    """Return the length of the prefixes that are searched: as set, but no more than there is."""
    return min(settings.search_dimensions or dimensions, dimensions)


def server_url(location: str) -> str | None:
    """Return the URL of a server's location, such as `localhost:6333`, and None for a folder."""
    if location.startswith(("http://", "https://")):
        return location
    return f"http://{location}" if _HOST_AND_PORT.fullmatch(location) else None


def is_folder(location: str) -> bool:
    """Return whether a location is the folder of an embedded index."""
    remote = location == MEMORY or location.startswith(REMOTE)
    return not remote and server_url(location) is None


def folder(location: str) -> Path:
    """Return the folder of a location; `~` is the home folder."""
    return Path(location).expanduser()


async def build_index(
    settings: IndexSettings, identity: IndexIdentity, *, create: bool = True
) -> Index:
    """Open the index at `settings.location`, and create it where it is missing.

    Raises:
        InputError: There is no index, and `create` is False.
        IndexMismatch: It was built with other parts.
        IndexLocked: It is a folder that another process did not release in time.
    """
    location = settings.location
    if location == MEMORY:
        from ragkit.index.memory import MemoryIndex

        return MemoryIndex(identity, fields=settings.fields)
    if location.startswith(REMOTE):
        from ragkit.index.remote import RemoteIndex

        return await RemoteIndex.open(settings, identity)
    if url := server_url(location):
        from ragkit.index.server import QdrantIndex

        at_url = settings.model_copy(update={"location": url})
        return await QdrantIndex.open(at_url, identity, create=create)
    from ragkit.index.edge import EdgeIndex

    return await EdgeIndex.open(
        folder(location),
        identity,
        fields=settings.fields,
        create=create,
        quantization=settings.quantization,
        wait_s=settings.wait_s,
    )
