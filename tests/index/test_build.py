"""Locations of indexes, and their identity."""

from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.settings import IndexSettings
from ragkit.index.build import (
    build_index,
    folder,
    identity_for,
    searched_width,
    server_url,
)
from ragkit.index.edge import EdgeIndex
from ragkit.index.memory import MemoryIndex
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.index_examples import IDENTITY


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("http://host:6333", "http://host:6333"),
        ("https://host/path", "https://host/path"),
        ("localhost:6333", "http://localhost:6333"),
        ("qdrant.example.org:80/", "http://qdrant.example.org:80/"),
        ("127.0.0.1:6333", "http://127.0.0.1:6333"),
        (".ragkit/index", None),
        ("localhost", None),
        ("/data/a:1/index", None),
        ("C:/index", None),
    ],
)
def test_a_host_with_a_port_is_a_server(location: str, url: str | None) -> None:
    assert server_url(location) == url


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert folder("~/index") == Path("/home/ada/index")
    assert folder("index") == Path("index")


def test_prefixes_are_as_wide_as_set_but_no_wider_than_the_vectors() -> None:
    assert searched_width(384, IndexSettings()) == 128
    assert searched_width(64, IndexSettings()) == 64
    assert searched_width(384, IndexSettings(search_dimensions=None)) == 384


def test_an_identity_names_the_embedder_or_has_no_vectors() -> None:
    embedder = HashEmbedder(dimensions=64, query_prompt="query: ")
    identity = identity_for(embedder, IndexSettings(search_dimensions=16, language="german"))
    assert (identity.embedder, identity.dimensions, identity.search_dimensions) == ("hash", 64, 16)
    assert (identity.query_prompt, identity.language) == ("query: ", "german")
    bare = identity_for(None, IndexSettings())
    assert (bare.embedder, bare.dimensions, bare.search_dimensions) == ("", 0, 0)
    with pytest.raises(ConfigError, match="klingon"):
        identity_for(None, IndexSettings(language="klingon"))


async def test_a_location_names_a_store(tmp_path: Path) -> None:
    memory = await build_index(IndexSettings(location=":memory:"), IDENTITY)
    assert isinstance(memory, MemoryIndex)
    settings = IndexSettings(location=str(tmp_path / "index"), fields={"year": "integer"})
    with pytest.raises(InputError, match="No index at"):
        await build_index(settings, IDENTITY, create=False)
    edge = await build_index(settings, IDENTITY)
    assert isinstance(edge, EdgeIndex)
    assert edge.fields["year"] == "integer"
    await edge.close()
