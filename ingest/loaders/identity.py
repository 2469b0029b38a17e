"""Identities that decide whether a document is loaded again: of its bytes and of its loader."""

import hashlib

from ragkit.ingest.loaders.charset import codec_name


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of the source bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def loader_identity(name: str, *, encoding: str) -> str:
    """Return `name`, followed by the encoding where it is not UTF-8."""
    codec = codec_name(encoding)
    return name if codec == "utf-8" else f"{name}:{codec}"
