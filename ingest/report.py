"""The report of an ingestion, document by document."""

from dataclasses import dataclass, field

from ragkit.core.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedDocument:
    """A document that was not ingested; its earlier version, if any, is still stored."""

    uri: str
    reason: str


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """The outcome of one run: uris by what was done with them.

    Attributes:
        added: New documents.
        updated: Documents whose content, metadata, loader or chunker changed.
        unchanged: Documents that were left as they are.
        deleted: Documents that a sync removed, since they are gone from its sources.
        skipped: Files in folders of a format that no loader reads.
        truncated: Documents with a passage longer than the model reads.
        unread_pages: Number of pages without text, most likely scans, of documents that were stored
            and have such pages.
        failed: Documents, folders and deletions that failed or were refused, with reasons.
        stopped: Why the run ended early, empty where it did not.
        chunks: Number of chunks written.
        kept: Number of those whose vectors were kept, since their text did not change.
        resumed: Number of those that an earlier run embedded, which broke off before their document
            was stored.
        tokens: Number of tokens to embed; counted in a dry run only.
        lines: Number of context lines that a model wrote.
        usage: The model's tokens for them.
        dry_run: Whether nothing was done, and the report says what would be.
        seconds: Duration of the run.
    """

    added: list[str] = field(default_factory=list[str])
    updated: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    deleted: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    truncated: list[str] = field(default_factory=list[str])
    unread_pages: dict[str, int] = field(default_factory=dict[str, int])
    failed: list[FailedDocument] = field(default_factory=list[FailedDocument])
    stopped: str = ""
    chunks: int = 0
    kept: int = 0
    resumed: int = 0
    tokens: int = 0
    lines: int = 0
    usage: Usage = field(default_factory=Usage)
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True where the run came to its end and nothing failed."""
        return not (self.failed or self.stopped)

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
        if self.dry_run:
            return f"dry run: {counts} ({self.chunks} chunks, {self.tokens} tokens)"
        return f"{counts} ({self.chunks} chunks in {self.seconds:.1f} s)"
