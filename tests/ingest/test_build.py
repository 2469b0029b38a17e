"""Building from settings: the sizes, the language, the encoding and the limit arrive."""

from pathlib import Path

import pytest

from ragkit import ConfigError, InputError, Settings
from ragkit.core.settings import IndexSettings, IngestSettings
from ragkit.core.types import Document
from ragkit.ingest.build import build_chunker, build_reader
from ragkit.ingest.sources.file import read_file
from ragkit.testing.embedder import WordTokenizer


def test_the_chunker_has_the_settings_sizes() -> None:
    settings = Settings(ingest=IngestSettings(chunk_tokens=20, overlap_tokens=4))
    chunker = build_chunker(settings, WordTokenizer())
    document = Document(uri="u", title="", text="word " * 100, content_hash="h")
    assert max(len(chunk.text.split()) for chunk in chunker.chunk(document)) <= 20
    other = build_chunker(Settings(), WordTokenizer())
    assert chunker.identity != other.identity


def test_sizes_that_do_not_fit_the_model_are_refused() -> None:
    settings = Settings(ingest=IngestSettings(chunk_tokens=400))
    with pytest.raises(ConfigError, match=r"ingest\.chunk_tokens is 400"):
        build_chunker(settings, WordTokenizer(max_tokens=256))


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="klingon"):
        build_chunker(Settings(index=IndexSettings(language="klingon")), WordTokenizer())


def test_the_reader_has_the_settings_encoding_and_limit(tmp_path: Path) -> None:
    settings = Settings(ingest=IngestSettings(encoding="cp1252", max_file_mb=1))
    reader = build_reader(settings, metadata={"year": 2024})
    file = tmp_path / "a.txt"
    file.write_bytes("Größe".encode("cp1252"))
    loader = reader.registry.loader(file.read_bytes(), file.name)
    assert loader.load(file.read_bytes(), uri="a").text == "Größe"
    assert reader.metadata_of(file) == {"year": 2024}
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(InputError, match="more than the 1 allowed"):
        read_file(file, max_bytes=reader.max_bytes)
