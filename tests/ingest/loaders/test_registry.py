"""The registry: a loader for every format, chosen by content first."""

from pathlib import Path

import pytest

from ragkit import Document, InputError
from ragkit.ingest.loaders import EXTENSIONS, FORMATS, LoaderRegistry, TextLoader, loader_for
from ragkit.ingest.loaders.registry import unsupported_text

REGISTRY = LoaderRegistry()


def test_every_format_has_a_loader_with_an_identity_of_its_own() -> None:
    identities = [loader_for(one.extensions[0]).identity for one in FORMATS]
    assert len(set(identities)) == len(FORMATS)
    assert REGISTRY.identities() == set(identities)


def test_every_extension_and_media_type_stands_once() -> None:
    assert sum(len(one.extensions) for one in FORMATS) == len(EXTENSIONS)
    assert len({one.media_type for one in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize(
    ("data", "name", "identity"),
    [
        (b"%PDF-1.7 ...", "report.txt", "pdf-2"),
        (b"%PDF-1.7 ...", "report", "pdf-2"),
        (b"<!DOCTYPE html><p>x", "report.pdf", "html-3"),
        (b"  \n<html><p>x", "page", "html-3"),
        (b"<!DOCTYPE html><p>x", "page.md", "markdown-1"),
        (b"plain words", "README", "text-2"),
        (b"<?xml version='1.0'?><a>b</a>", "data", "xml-1"),
        (b"<?xml version='1.0'?><a>b</a>", "notes.txt", "text-2"),
        (b"plain words", "notes.log", "text-2"),
        (b"a,b\n1,2", "table.csv", "csv-2"),
        (b"From: a\nTo: b\nSubject: c\n\nText", "mail", "email-2"),
        (b"From: a\nTo: b\nSubject: c\n\nText", "mail.csv", "csv-2"),
    ],
)
def test_content_decides_where_the_name_says_something_else(
    data: bytes, name: str, identity: str
) -> None:
    assert REGISTRY.loader(data, name).identity == identity


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image.md"),
        (b"\x7fELF....", "program"),
        (b"\x1f\x8b\x08....", "data.json"),
        (b"\x00\x01\x02", "data"),
        (b"words", "a.xyz"),
        (b"", "empty"),
    ],
)
def test_what_no_loader_reads_is_refused(data: bytes, name: str) -> None:
    assert not REGISTRY.reads(data, name)
    with pytest.raises(InputError, match="No loader reads"):
        REGISTRY.loader(data, name)


def test_the_message_names_the_formats_that_are_read() -> None:
    message = unsupported_text("a.xyz")
    assert all(extension in message for extension in (".docx", ".pptx", ".csv", ".pdf"))


class UpperLoader:
    """A loader of a user's own."""

    identity = "upper-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        return TextLoader().load(data.upper(), uri=uri)


def test_a_user_s_loader_comes_before_ragkit_s() -> None:
    registry = LoaderRegistry(loaders={".foo": UpperLoader(), "text/plain": UpperLoader()})
    assert registry.knows("a.foo")
    assert registry.loader(b"x", "a.foo").load(b"words", uri="a").text == "WORDS"
    assert registry.loader(b"words", "a.txt").identity == "upper-1"
    assert registry.loader(b"words", "a.md").identity == "markdown-1"
    assert "upper-1" in registry.identities()


def test_files_are_chosen_in_a_folder_by_name_or_content(tmp_path: Path) -> None:
    from ragkit.ingest.sources import FileReader

    (tmp_path / "report").write_bytes(b"%PDF-1.7")
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\x1a\n")
    reader = FileReader()
    assert reader.reads(tmp_path / "report")
    assert reader.reads(tmp_path / "not-there.docx")
    assert not reader.reads(tmp_path / "image")
    assert not reader.reads(tmp_path / "not-there")
