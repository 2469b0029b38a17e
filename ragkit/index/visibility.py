"""Visibility: of the chunks that a search finds, those of a document's current generation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ragkit.core.protocols import Legs
from ragkit.index.layout import Payload, generation_of

MAX_ATTEMPTS = 8
"""Searches at most while documents are replaced under it; the last leaves obsolete hits out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVersion:
    """The document and the write that a found chunk belongs to."""

    uri: str
    version: str


def found_versions(payloads: Mapping[str, Payload | None]) -> dict[str, FoundVersion]:
    """Return the versions of those points that are chunks, by id."""
    return {
        item: FoundVersion(uri=str(payload["uri"]), version=str(payload["version"]))
        for item, payload in payloads.items()
        if payload and payload.get("version") and payload.get("uri")
    }


def obsolete(
    found: Mapping[str, FoundVersion], current: Mapping[str, str]
) -> dict[str, FoundVersion]:
    """Return the chunks that are not of the generation that their document's record names.

    Args:
        found: Chunks by id.
        current: The version that the record of each document names, by uri.
    """
    return {
        item: one
        for item, one in found.items()
        if one.uri not in current or generation_of(current[one.uri]) != generation_of(one.version)
    }


def uris_of(found: Mapping[str, FoundVersion]) -> list[str]:
    """Return the documents of found chunks, each once."""
    return list(dict.fromkeys(one.uri for one in found.values()))


def without(legs: Legs, ids: Iterable[str]) -> Legs:
    """Return what the legs found without these chunks."""
    hidden = set(ids)
    keep: Callable[[tuple[str, float]], bool] = lambda pair: pair[0] not in hidden  # noqa: E731
    return replace(
        legs,
        dense=tuple(filter(keep, legs.dense)),
        bm25=tuple(filter(keep, legs.bm25)),
        chunks={item: chunk for item, chunk in legs.chunks.items() if item not in hidden},
    )
