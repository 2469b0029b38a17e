"""Vectors of large documents, kept in files until the document is stored.

A document becomes visible as a whole, after all of its passages have been embedded. Of one that has
thousands of passages, what was embedded before a kill is found here by the next run. A file holds
the vectors of one document and one model, each under a hash of its passage:

```
checksum (4 bytes, CRC-32 of the rest) | hash (16 bytes) | vector (float32, little-endian)
```
A kill may cut the last record; a damaged one is left out.
"""

import hashlib
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragkit.core.protocols import Embedder
from ragkit.core.types import DocumentRecord, FloatArray, TextSpan

logger = logging.getLogger(__name__)

LARGE = 1000
"""Passages from which on a document's vectors are kept while it is embedded."""
MAX_BYTES = 2 * 2**30
"""Size of all files at most; the oldest make room, and no more is kept of a larger document."""
_KEY, _CHECKSUM = 16, 4


@dataclass(frozen=True, slots=True)
class VectorCheckpoints:
    """The files of one index, in a folder that is made when it is needed.

    A disk that is full or cannot be written is logged: documents are embedded without checkpoints.
    """

    folder: Path

    def of_large(
        self, records: Sequence[DocumentRecord], *, embedder: Embedder
    ) -> dict[str, "VectorCheckpoint"]:
        """Return the checkpoint of each of a tenant's documents that is large, by uri."""
        large = [record for record in records if record.chunks >= LARGE]
        return {record.uri: self._of(record, embedder) for record in large}

    def _of(self, record: DocumentRecord, embedder: Embedder) -> "VectorCheckpoint":
        model = [*embedder.identity, embedder.dimensions, embedder.prompts["passage"]]
        parts = "\x1f".join(map(str, [record.tenant, record.uri, *model])).encode(
            "utf-8", "surrogatepass"
        )
        name = hashlib.blake2b(parts, digest_size=16).hexdigest()
        return VectorCheckpoint(self.folder / f"{name}.vectors", dimensions=embedder.dimensions)


class VectorCheckpoint:
    """The vectors of one document that is being embedded."""

    def __init__(self, file: Path, *, dimensions: int) -> None:
        """Name the file; nothing is read yet."""
        self._file = file
        self._record = _CHECKSUM + _KEY + 4 * dimensions
        self._writable = True

    def read(self) -> dict[bytes, FloatArray]:
        """Return the vectors that an earlier run made, by the hashes of their passages."""
        try:
            return dict(self._records(self._file.read_bytes()))
        except OSError:
            return {}

    def _records(self, data: bytes) -> Iterator[tuple[bytes, FloatArray]]:
        for start in range(0, len(data) - self._record + 1, self._record):
            body = data[start + _CHECKSUM : start + self._record]
            if _checksum(body) == data[start : start + _CHECKSUM]:
                yield body[:_KEY], np.frombuffer(body[_KEY:], dtype="<f4").astype(np.float32)

    def add(self, passages: Sequence[TextSpan], vectors: FloatArray) -> None:
        """Keep the vectors of passages, if there is room for them."""
        if not self._writable:
            return
        bodies = [
            passage_key(passage) + vector.astype("<f4").tobytes()
            for passage, vector in zip(passages, vectors, strict=True)
        ]
        data = b"".join(_checksum(body) + body for body in bodies)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._writable = self._make_room(len(data))
            if self._writable:
                with self._file.open("ab") as file:
                    # A kill may have left half a record.
                    file.truncate(file.tell() - file.tell() % self._record)
                    file.write(data)
        except OSError as error:
            self._writable = False
            logger.warning("Vectors are not kept until the document is stored: %s", error)

    def _make_room(self, size: int) -> bool:
        """Remove the oldest files of others, as far as needed; return whether there is room."""
        found = [(file.stat(), file) for file in self._file.parent.glob("*.vectors")]
        total = size + sum(status.st_size for status, _ in found)
        for status, file in sorted(found, key=lambda one: one[0].st_mtime):
            if total > MAX_BYTES and file != self._file:
                file.unlink(missing_ok=True)
                total -= status.st_size
        return total <= MAX_BYTES

    def discard(self) -> None:
        """Remove the file, since the document is stored."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            self._file.parent.rmdir()  # if it is empty


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM, "little")


def passage_key(passage: TextSpan) -> bytes:
    """Return the hash of a passage as it is embedded, with its place in the text around it."""
    text, start, end = passage
    embedded = f"{start}:{end}:{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(embedded, digest_size=_KEY).digest()
