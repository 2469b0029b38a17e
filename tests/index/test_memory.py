"""The store in memory keeps the contract."""

from collections.abc import Mapping
from pathlib import Path

from ragkit.core.filters import Eq, Not
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index.memory import MemoryIndex
from ragkit.testing.index_contract import IndexContract
from ragkit.testing.index_examples import IDENTITY, find, make_chunk, make_entry


class TestMemoryIndex(IndexContract):
    folds_accents = False
    leaves_orphans = False

    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> MemoryIndex:
        return MemoryIndex(identity, fields=fields)


async def test_metadata_named_like_a_built_in_field_does_not_pass_for_it() -> None:
    index = MemoryIndex(IDENTITY)
    chunk = make_chunk("wolf", uri="a", metadata={"page": 7, "uri": "b"})
    await index.commit([await make_entry("a", chunk)])
    assert (await find(index, "wolf", where=Eq("page", 7)))["bm25"] == []
    assert (await find(index, "wolf", where=Eq("uri", "a")))["bm25"] == ["wolf"]


async def test_nothing_but_passages_without_words_is_searched() -> None:
    index = MemoryIndex(IDENTITY)
    await index.commit([await make_entry("a", "?!", "the")])
    assert (await find(index, "wolf", where=Not(Eq("uri", "b"))))["bm25"] == []
