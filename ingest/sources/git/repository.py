"""A git repository as a collection: the files of one commit; only changed ones are read."""

import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from ragkit.core.errors import InputError
from ragkit.core.secrets import NO_SECRETS, ServerAddress, without_credentials
from ragkit.ingest.sources.collection import Listed, SkippedDocument
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.git.commit import GitBlob, GitCommit
from ragkit.ingest.sources.listed_file import ListedFile

_SCHEMES = frozenset({"https", "http", "ssh", "file"})
_REF = re.compile(r"(?!-)[\w.@/#-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRepository:
    """The files of a commit of a repository.

    Attributes:
        url: By https, http, ssh or file; user and password, if any, are sent and not stored.
        ref: A branch, a tag, or the whole id of a commit; the repository's own branch by default.
        source: The name that uris begin with, and that a sync knows the repository by; the
            repository's own by default.
    """

    url: str = field(repr=False)
    ref: str = "HEAD"
    source: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no URL of a repository."""
        if urlsplit(self.url).scheme not in _SCHEMES or not self._label:
            raise InputError(
                f"{without_credentials(self.url)!r} is no URL of a repository. Fix: write "
                "git+https://HOST/PATH, git+ssh://USER@HOST/PATH or git+file:///PATH."
            )
        if not _REF.fullmatch(self.ref):
            raise InputError(f"{self.ref!r} is no ref. Fix: name a branch, a tag or a commit.")

    @classmethod
    def parse(cls, text: str, *, source: str | None = None) -> "GitRepository":
        """Read `git+URL` or `git+URL@REF`."""
        url = text.partition("+")[2]
        head, slash, path = url.partition("://")[2].partition("/")
        path, at, ref = path.partition("@")
        place = f"{url.partition('://')[0]}://{head}{slash}{path}"
        return cls(url=place, ref=ref if at else "HEAD", source=source)

    @property
    def name(self) -> str:
        """The URL, without user and password."""
        return without_credentials(self._address.url)

    @property
    def origin(self) -> str:
        """The identity of the repository, whatever its ref."""
        return f"git:{self.source or self.name}"

    def path(self, uri: str) -> str | None:
        """Return the path in the repository."""
        return uri.removeprefix(f"{self._label}/")

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        """Fetch the commit, and list its files."""
        with tempfile.TemporaryDirectory(prefix="ragkit-git-") as folder:
            commit = GitCommit(Path(folder), self._address, self.ref)
            with closing(commit):
                yield self._files(commit, reader)

    def _files(self, commit: GitCommit, reader: FileReader) -> Iterator[Listed]:
        for blob in commit.blobs():
            if any(part.startswith(".") for part in blob.path.split("/")):
                continue
            if reader.registry.knows(blob.path):
                yield self._file(blob, commit, reader)
            else:
                yield SkippedDocument(uri=f"{self._label}/{blob.path}")

    def _file(self, blob: GitBlob, commit: GitCommit, reader: FileReader) -> ListedFile:
        return ListedFile(
            uri=f"{self._label}/{blob.path}",
            path=blob.path,
            origin=self.origin,
            listed=f"git:{blob.oid}",
            size=blob.size,
            read=partial(commit.read, blob.oid),
            reader=reader,
        )

    @property
    def _address(self) -> ServerAddress:
        if self.url.startswith("ssh:"):  # whose user is no secret, and belongs to the URL
            return ServerAddress(url=self.url, authorization=None, secrets=NO_SECRETS)
        return ServerAddress.parse(self.url)

    @property
    def _label(self) -> str:
        last = urlsplit(self.url).path.rstrip("/").rpartition("/")[2]
        return self.source or last.removesuffix(".git")
