"""The deletions of a sync: what is gone from the synced roots, unless that looks like a mistake."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ragkit.core.protocols import Index
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.collection import CollectionListing
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.stream import SourceStream
from ragkit.ingest.sources.walk import FileWalk

MASS_DELETION = 10
"""Deletions from which more than half of a root's documents are refused."""


@dataclass(slots=True, kw_only=True)
class Deletions:
    """The documents that a sync deletes, and the deletions that it refuses, with reasons.

    Attributes:
        uris: To delete.
        refused: Refusals, one for each root.
        decided: The uris of both, so that overlapping roots decide once.
    """

    uris: list[str] = field(default_factory=list[str])
    refused: list[FailedDocument] = field(default_factory=list[FailedDocument])
    decided: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """Finds what is gone from the sources of a finished stream.

    Attributes:
        index: The index with the records.
        stream: The stream; what is deleted are documents of the very roots that it covers.
        tenant: Whose documents these are.
        present: The uris of all documents that the run found.
        adopted: Roots of earlier runs that files of this run belong to.
        force: Whether empty roots and mass deletions are accepted.
    """

    index: Index
    stream: SourceStream
    tenant: str
    present: Collection[str]
    adopted: Mapping[str, SourceRoot]
    force: bool = False

    async def deletions(self) -> Deletions:
        """Return what to delete, and what is refused."""
        found = Deletions()
        for walk in self.stream.walks:
            await self._add_files(walk, found)
        for listing in self.stream.listings:
            await self._add_listed(listing, found)
        options = self.stream.options
        if self._names_documents() and options.source is not None:
            origin = options.document_origin
            uris = [
                item.uri for item in await self.index.records(tenant=self.tenant, source=origin)
            ]
            kept = {*self.present, *self.stream.unmade}
            gone = [uri for uri in uris if uri not in kept]
            if gone:
                is_empty = self.stream.is_empty
                self._decide(found, gone, total=len(uris), name=origin, is_empty=is_empty)
        found.uris.sort()
        return found

    def _names_documents(self) -> bool:
        """Return whether the run knows every document made in code, an empty list included."""
        stream = self.stream
        return stream.is_empty or (stream.has_documents and stream.names_all)

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
                known = record.uri in self.present or record.uri in found.decided
                if not known and not self._is_unknown(file):
                    gone.append(record.uri)
        if gone:
            name, is_empty = str(scope.within), not self._has_files(walk)
            self._decide(found, gone, total=total, name=name, is_empty=is_empty)

    async def _add_listed(self, listing: CollectionListing, found: Deletions) -> None:
        origin = listing.collection.origin
        same = [one for one in self.stream.listings if one.collection.origin == origin]
        if not all(one.is_complete for one in same):
            return  # the failure is reported, and what could not be listed may still be there
        records = await self.index.records(tenant=self.tenant, source=origin)
        uris = [record.uri for record in records if listing.covers(record.uri)]
        gone = [uri for uri in uris if uri not in self.present and uri not in found.decided]
        if gone:
            name, is_empty = listing.collection.name, listing.found == 0
            self._decide(found, gone, total=len(uris), name=name, is_empty=is_empty)

    def _roots(self, walk: FileWalk) -> Sequence[SourceRoot]:
        """Return the roots whose records may lie in a scope: its own, and those above and below."""
        root = walk.scope.root
        if root.chosen:
            return [root]
        above = [SourceRoot.of(folder) for folder in root.path.parents]
        below = [one for one in self.adopted.values() if root.path in one.path.parents]
        return list({one.origin: one for one in (root, *above, *below)}.values())

    def _has_files(self, walk: FileWalk) -> bool:
        """Return whether there are files in a walk's scope, found by it or by an earlier one."""
        return walk.found > 0 or any(
            path is not None and walk.scope.covers(path) for path in self.stream.uris.values()
        )

    def _is_unknown(self, file: Path) -> bool:
        """Return whether a file lies where no walk could look."""
        return any(
            place == file or place in file.parents
            for walk in self.stream.walks
            if not walk.is_missing
            for place in walk.unreadable
        )

    def _decide(
        self, found: Deletions, gone: list[str], *, total: int, name: str, is_empty: bool
    ) -> None:
        found.decided.update(gone)
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
