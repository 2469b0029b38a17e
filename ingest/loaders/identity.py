"""Identities that decide whether a document is loaded again: of its bytes and of its loader."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from ragkit.ingest.loaders.charset import codec_name


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of the source bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDescribingLoader:
    """The base of loaders of formats that fix or name their encoding.

    Attributes:
        version: The format's name and the loader's version.
        encoding: Accepted, as by every loader, and unused.
    """

    version: ClassVar[str]

    encoding: str = "utf-8"

    @property
    def identity(self) -> str:
        """Name and version."""
        return self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedLoader:
    """The base of loaders of text, whose identity holds the encoding.

    Attributes:
        version: The format's name and the loader's version.
        encoding: Applies where a file does not name its own.
    """

    version: ClassVar[str]

    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Refuse an unknown encoding."""
        codec_name(self.encoding)

    @property
    def identity(self) -> str:
        """Name, version and, where it is not UTF-8, the encoding."""
        codec = codec_name(self.encoding)
        return self.version if codec == "utf-8" else f"{self.version}:{codec}"
