"""Encodings: nothing is guessed, a byte order mark decides, and refusals name the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import ConfigError, InputError
from ragkit.ingest.loaders import TextLoader, loader_for
from ragkit.ingest.loaders.charset import codec_name, decode_text, has_byte_order_mark

TEXT = [".txt", ".md", ".html"]


@pytest.mark.parametrize("extension", [*TEXT, ".pdf"])
@pytest.mark.parametrize("data", [b"", b" \r\n\t ", b"\n\n"])
def test_an_empty_file_is_refused(extension: str, data: bytes) -> None:
    with pytest.raises(InputError, match="'docs/a' is empty"):
        loader_for(extension).load(data, uri="docs/a")


@pytest.mark.parametrize("extension", TEXT)
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_decides_and_is_removed(extension: str, codec: str) -> None:
    mark = "" if codec == "utf-8-sig" else "\ufeff"
    data = f"{mark}Grüße\r\naus Köln\rheute".encode(codec)
    document = loader_for(extension).load(data, uri="a")
    assert document.text.split() == ["Grüße", "aus", "Köln", "heute"]
    assert "\r" not in document.text


@pytest.mark.parametrize("extension", TEXT)
def test_another_encoding_is_refused_with_place_and_remedy(extension: str) -> None:
    place = "'docs/gruss' is not valid utf-8: byte 0xfc at offset 2"
    with pytest.raises(InputError, match=f"{place}.*Fix: set RAGKIT_INGEST__ENCODING=cp1252"):
        loader_for(extension).load("Grüße".encode("cp1252"), uri="docs/gruss")


@pytest.mark.parametrize("extension", TEXT)
def test_the_set_encoding_is_used(extension: str) -> None:
    german = loader_for(extension, encoding="cp1252")
    assert german.load("Grüße".encode("cp1252"), uri="a").text == "Grüße"


@pytest.mark.parametrize("extension", TEXT)
@pytest.mark.parametrize("data", [b"PK\x03\x04\x00\x00 text", b"\x01\x02\x03 many \x04\x05 more"])
def test_binary_data_is_refused(extension: str, data: bytes) -> None:
    with pytest.raises(InputError, match="'a' holds binary data"):
        loader_for(extension).load(data, uri="a")


@pytest.mark.parametrize("extension", TEXT)
def test_a_truncated_character_after_a_byte_order_mark_is_refused(extension: str) -> None:
    with pytest.raises(
        InputError, match=r"utf-16-le: byte 0x62 at offset 4 .* declares it itself. Fix"
    ):
        loader_for(extension).load(b"\xff\xfea\x00b", uri="a")


def test_terminal_colours_in_a_log_are_text() -> None:
    text = "\x1b[32mINFO\x1b[0m started"
    assert TextLoader().load(text.encode(), uri="a.log").text == text


@pytest.mark.parametrize("encoding", ["klingon", "hex", ""])
def test_an_unknown_encoding_is_refused_at_once(encoding: str) -> None:
    with pytest.raises(ConfigError, match="not a text encoding"):
        TextLoader(encoding=encoding)


@given(st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable()))
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_printable_text_survives_its_encoding(codec: str, text: str) -> None:
    assert decode_text(text.encode(codec), uri="a", encoding="utf-8") == text.removeprefix("\ufeff")


def test_names_of_one_encoding_are_one() -> None:
    assert {codec_name(name) for name in ("UTF8", "utf-8", "U8")} == {"utf-8"}


def test_a_byte_order_mark_is_recognised() -> None:
    assert has_byte_order_mark("x".encode("utf-16"))
    assert not has_byte_order_mark(b"plain")
