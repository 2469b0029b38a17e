"""The report of an ingestion, document by document."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedDocument:
    """A document that was not ingested; its earlier version, if any, is still stored."""

    uri: str
    reason: str


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """The outcome of one run: uris by what was done with them.

    `skipped` are files of a format that no loader reads, found in a folder; `truncated` are
    documents with a passage longer than the model reads; `repaired` counts faults of an
    interrupted run that were repaired first; `chunks` counts those written.
    """

    added: list[str] = field(default_factory=list[str])
    updated: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    deleted: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    truncated: list[str] = field(default_factory=list[str])
    failed: list[FailedDocument] = field(default_factory=list[FailedDocument])
    repaired: int = 0
    chunks: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True where no document failed."""
        return not self.failed

    def __str__(self) -> str:
        """Return the counts on one line."""
        parts = {
            "added": len(self.added),
            "updated": len(self.updated),
            "unchanged": len(self.unchanged),
            "deleted": len(self.deleted),
            "failed": len(self.failed),
        }
        counts = ", ".join(f"{count} {name}" for name, count in parts.items())
        return f"{counts} ({self.chunks} chunks in {self.seconds:.1f} s)"
