"""The walk over a path that was given: a file, a folder, or a glob of files."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from ragkit.core.errors import InputError
from ragkit.index.build import SHARD_FILE
from ragkit.ingest.loaders import supported_extensions
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.archive import ArchiveMember, archive_members, is_archive
from ragkit.ingest.sources.file import FileReader, FileSource
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.root import SourceRoot, absolute

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScope:
    """The files that a run covers: those at or below a path, as far as the patterns allow."""

    root: SourceRoot
    within: Path
    patterns: PathPatterns

    @classmethod
    def of(cls, path: Path, patterns: PathPatterns, *, source: str | None = None) -> Self:
        """Return the scope of a path that a user gave.

        A path with wildcards that does not exist as it stands is a glob: its root is the folder
        before the first of them. `source` is described at `SourceRoot.parse`.
        """
        parts = path.expanduser().parts
        first = next((i for i, part in enumerate(parts) if _WILDCARD.search(part)), None)
        if first is not None and not os.path.lexists(path.expanduser()):
            within = absolute(Path(*parts[:first]))
            folder = within
            patterns = patterns.narrowed(f"/{'/'.join(parts[first:])}")
        else:
            within = absolute(path)
            folder = within if within.is_dir() or not os.path.lexists(within) else within.parent
        root = SourceRoot.of(folder) if source is None else SourceRoot.parse(source, default=folder)
        if within != root.path and root.path not in within.parents:
            raise InputError(
                f"{str(path)!r} is not in the folder {str(root.path)!r} of the source "
                f"{root.name!r}. Fix: write --source {root.name}=FOLDER with one that holds it."
            )
        return cls(root=root, within=within, patterns=patterns)

    def covers(self, file: Path) -> bool:
        """Return whether a file, present or gone, is in the scope."""
        if file != self.within and self.within not in file.parents:
            return False
        return self.patterns.covers(file.relative_to(self.root.path).as_posix())


class FileWalk:
    """A walk over the files of a scope, in order of name, through symbolic links.

    Each real folder is searched once; names that start with a dot and indexes are left out.

    Attributes:
        skipped: Uris of files of a format that no loader reads.
        failed: What could not be searched or read.
        unreadable: Folders and links whose content is unknown: nothing below them is gone.
        found: Number of files that a loader reads.
        is_missing: Whether there is no file or folder at the path.
    """

    def __init__(self, scope: SourceScope, reader: FileReader, *, visited: set[Path]) -> None:
        """Prepare a walk; `visited` are the folders that earlier walks have searched."""
        self.scope = scope
        self.skipped: list[str] = []
        self.failed: list[FailedDocument] = []
        self.unreadable: list[Path] = []
        self.found = 0
        self.is_missing = False
        self._reader = reader
        self._visited = visited

    def sources(self) -> Iterator[FileSource | ArchiveMember]:
        """Yield the files that a loader reads, and those in archives."""
        within = self.scope.within
        if within.is_dir():
            files = self._files(within)
        elif os.path.lexists(within):
            files = iter([within])
        else:
            self.is_missing = True
            self._fail(within, f"No file or folder at {str(within)!r}. Fix: check the path.")
            return
        for file in files:
            try:
                is_read = self._reader.reads(file)
            except InputError as error:
                self._fail(file, str(error))
                continue
            if is_read:
                self.found += 1
                yield FileSource(path=file, root=self.scope.root, reader=self._reader)
            elif is_archive(file):
                yield from self._members(file)
            elif file == within:
                known = ", ".join(supported_extensions)
                reason = (
                    f"{str(file)!r} has no format that ragkit reads. Fix: convert it to one of "
                )
                self._fail(file, f"{reason}{known}.")
            else:
                self.skipped.append(self.scope.root.uri(file))

    def _members(self, file: Path) -> Iterator[ArchiveMember]:
        source = FileSource(path=file, root=self.scope.root, reader=self._reader)
        try:
            members = archive_members(source)
        except InputError as error:
            self._fail(file, str(error))
            return
        for member in members:
            relative = member.path.relative_to(self.scope.root.path).as_posix()
            if not self.scope.patterns.covers(relative):
                continue
            if self._reader.registry.knows(member.name):
                self.found += 1
                yield member
            else:
                self.skipped.append(member.uri)

    def unread(self) -> FailedDocument:
        """Return the failure of a folder whose files have no format that a loader reads."""
        suffixes = Counter(PurePosixPath(uri).suffix.lower() or "none" for uri in self.skipped)
        counts = ", ".join(f"{suffix} {count}" for suffix, count in suffixes.most_common(5))
        known = ", ".join(supported_extensions)
        return FailedDocument(
            uri=self.scope.root.name,
            reason=f"{str(self.scope.within)!r} has no file of a format that ragkit reads, only of "
            f"others ({counts}). Fix: convert them to one of {known}.",
        )

    def _files(self, folder: Path) -> Iterator[Path]:
        pending = [folder]
        while pending:
            folder = pending.pop()
            try:
                real = folder.resolve()
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except (OSError, RuntimeError) as error:
                self._fail(folder, _unreadable_text(folder, error))
                continue
            if real in self._visited:
                continue  # a link back to a folder that was already searched
            self._visited.add(real)
            if any(entry.name == SHARD_FILE for entry in entries):
                continue  # an index, whose own files would be documents
            folders: list[Path] = []
            for entry in entries:
                if not entry.name.startswith("."):
                    yield from self._entry(entry, folders)
            pending += reversed(folders)

    def _entry(self, entry: "os.DirEntry[str]", folders: list[Path]) -> Iterator[Path]:
        path = Path(entry.path)
        relative = path.relative_to(self.scope.root.path).as_posix()
        try:
            is_folder = entry.is_dir()
            if not is_folder and entry.is_symlink():
                path.stat()  # raises where the link leads nowhere
        except OSError as error:
            if not self.scope.patterns.skips_folder(relative):
                self._fail(path, _unreadable_text(path, error))
            return
        if is_folder:
            if not self.scope.patterns.skips_folder(relative):
                folders.append(path)
        elif self.scope.patterns.covers(relative):
            yield path

    def _fail(self, path: Path, reason: str) -> None:
        self.unreadable.append(path)
        uri = self.scope.root.name if path == self.scope.root.path else self.scope.root.uri(path)
        self.failed.append(FailedDocument(uri=uri, reason=reason))


def _unreadable_text(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"{str(path)!r} cannot be read: {reason}. Nothing below it is taken for deleted. "
        "Fix: make it readable, or leave it out with --exclude."
    )
