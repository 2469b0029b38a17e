"""The deletions of a sync: what is gone from the synced roots, unless that looks like a mistake."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ragkit.core.protocols import Index
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.stream import SourceStream
from ragkit.ingest.sources.walk import FileWalk

MASS_DELETION = 10
"""Deletions from which more than half of a root's documents are refused."""


@dataclass(slots=True, kw_only=True)
class Deletions:
    """The documents that a sync deletes, and the deletions that it refuses, with reasons."""

    uris: list[str] = field(default_factory=list[str])
    refused: list[FailedDocument] = field(default_factory=list[FailedDocument])


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """Finds what is gone from the sources of a finished stream.

    Attributes:
        index: The index with the records.
        tenant: Whose documents these are.
        present: The uris of all documents that the run found.
        adopted: Roots of earlier runs that files of this run belong to.
        force: Whether empty roots and mass deletions are accepted.
    """

    index: Index
    tenant: str
    present: Collection[str]
    adopted: Mapping[str, SourceRoot]
    force: bool = False

    async def deletions(self, stream: SourceStream) -> Deletions:
        """Return what to delete: documents of the very roots that the stream covers."""
        found = Deletions()
        for walk in stream.walks:
            await self._add_files(walk, found)
        if stream.has_documents and stream.options.source is not None:
            origin = stream.options.document_origin
            uris = [
                item.uri for item in await self.index.records(tenant=self.tenant, source=origin)
            ]
            gone = [uri for uri in uris if uri not in self.present]
            self._decide(found, gone, total=len(uris), name=origin, is_empty=False)
        found.uris = sorted(set(found.uris))
        return found

    async def _add_files(self, walk: FileWalk, found: Deletions) -> None:
        scope = walk.scope
        total = 0
        gone: list[str] = []
        for root in self._roots(walk):
            for record in await self.index.records(tenant=self.tenant, source=root.origin):
                file = root.file(record.uri)
                if not scope.covers(file):
                    continue
                total += 1
                if record.uri not in self.present and not _is_unknown(file, walk):
                    gone.append(record.uri)
        self._decide(found, gone, total=total, name=str(scope.within), is_empty=walk.found == 0)

    def _roots(self, walk: FileWalk) -> Sequence[SourceRoot]:
        """Return the roots whose records may lie in a scope: its own, and those above and below."""
        root = walk.scope.root
        if root.chosen:
            return [root]
        above = [SourceRoot.of(folder) for folder in root.path.parents]
        below = [one for one in self.adopted.values() if root.path in one.path.parents]
        return list({one.origin: one for one in (root, *above, *below)}.values())

    def _decide(
        self, found: Deletions, gone: list[str], *, total: int, name: str, is_empty: bool
    ) -> None:
        if not gone:
            return
        is_mass = len(gone) >= MASS_DELETION and 2 * len(gone) > total
        if self.force or not (is_empty or is_mass):
            found.uris += gone
            return
        why = "it is empty or gone" if is_empty else f"{len(gone)} of {total} are gone"
        found.refused.append(
            FailedDocument(
                uri=name,
                reason=f"No document of {name!r} was deleted: {why}, which looks like a mistake. "
                "Fix: check the source, or delete them with --force (force=True).",
            )
        )


def _is_unknown(file: Path, walk: FileWalk) -> bool:
    """Return whether a file lies where the walk could not look."""
    if walk.is_missing:
        return False
    return any(place == file or place in file.parents for place in walk.unreadable)
