"""Identities: a change of bytes, loader or encoding changes them, and nothing else does."""

import hashlib

import pytest

from ragkit.core.protocols import Loader
from ragkit.ingest.loaders import HtmlLoader, MarkdownLoader, PdfLoader, TextLoader


@pytest.mark.parametrize(
    ("loader", "identity"),
    [
        (TextLoader(), "text-2"),
        (MarkdownLoader(), "markdown-1"),
        (HtmlLoader(encoding="UTF8"), "html-3"),
        (PdfLoader(encoding="cp1252"), "pdf-2"),
        (TextLoader(encoding="windows-1252"), "text-2:cp1252"),
    ],
)
def test_identity_names_format_version_and_unusual_encoding(loader: Loader, identity: str) -> None:
    assert loader.identity == identity


def test_content_hash_is_that_of_the_source_bytes() -> None:
    data = b"\xef\xbb\xbfa\r\n"
    document = TextLoader().load(data, uri="a.txt")
    assert document.content_hash == hashlib.sha256(data).hexdigest()
