"""The part of the `IndexContract` about storing, changing, deleting and repairing documents."""

# ruff: noqa: D102 - a test's name says the behaviour

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.filters import Eq
from ragkit.core.protocols import Entry, Index
from ragkit.core.types import DEFAULT_TENANT, Chunk, MetadataValue, stable_id
from ragkit.index.integrity import repair, verify
from ragkit.index.layout import IDENTITY_ID, record_id
from ragkit.testing.index_examples import (
    UNSTORABLE,
    find,
    make_chunk,
    make_entry,
    metadata_values,
)
from ragkit.testing.index_fixtures import SHARED, IndexFixtures

NOT_STORED = stable_id("not stored")


class StorageContract(IndexFixtures):
    """Tests of an index as a store of documents."""

    # What is stored

    async def test_a_chunk_comes_back_as_it_was(self, index: Index) -> None:
        chunk = Chunk(
            id="",
            uri="file:///a b/ü.md",
            title="Title: with > signs",
            text="  Wolves\n\n\thunt — 日本語 🐺 e\u0301 \u0000 \u202eend ",
            start=17,
            end=17 + 44,
            heading_path=("Title: with > signs", "", "Über: Wölfe"),
            page=3,
            metadata={
                "lang": "en",
                "tags": ("a", "b"),
                "none": (),
                "year": 2024,
                "score": 2.0,
                "draft": True,
                "when": "2024-05-01",
                "text": "a name that the store uses itself",
                "dotted.name": -1,
                "huge": 2**63 - 1,
                "tiny": 5e-324,
            },
        )
        entry = await make_entry(chunk.uri, chunk, make_chunk("wolf", uri=chunk.uri))
        chunk, bare = entry.chunks
        await index.commit([entry])
        fetched = await index.fetch([bare.id, chunk.id])
        assert fetched == [bare, chunk]
        types = {name: type(value) for name, value in fetched[1].metadata.items()}
        assert types == {name: type(value) for name, value in chunk.metadata.items()}
        assert set((await find(index, "wolves"))["dense"]) == {chunk.text, "wolf"}

    @given(text=st.text(), title=st.text(max_size=9), metadata=metadata_values(), data=st.data())
    @settings(max_examples=25, deadline=None, suppress_health_check=SHARED)
    async def test_any_chunk_comes_back_as_it_was(
        self,
        index: Index,
        text: str,
        title: str,
        metadata: dict[str, MetadataValue],
        data: st.DataObject,
    ) -> None:
        headings = tuple(data.draw(st.lists(st.text(max_size=9), max_size=3)))
        page = data.draw(st.none() | st.integers(1, 10**6))
        chunk = make_chunk(
            text, uri="any", title=title, headings=headings, page=page, metadata=metadata
        )
        entry = await make_entry("any", chunk)
        await index.commit([entry])
        assert await index.fetch([entry.chunks[0].id]) == list(entry.chunks)

    async def test_a_long_text_comes_back_and_its_last_word_is_found(self, index: Index) -> None:
        text = "sheep eat grass. " * 20_000 + "wolf"
        await index.commit([await make_entry("a", text, "stocks fell")])
        assert (await find(index, "wolf"))["bm25"] == [text]

    async def test_many_documents_are_committed_at_once(self, index: Index) -> None:
        entries = [await make_entry(f"doc-{n}", f"wolf {n}", f"sheep {n}") for n in range(600)]
        await index.commit(entries)
        records = await index.records()
        assert sorted(record.uri for record in records) == sorted(e.record.uri for e in entries)
        assert sum(one.chunks for one in await index.versions()) == 1200
        chunks = [chunk for entry in entries for chunk in entry.chunks]
        assert await index.fetch([chunk.id for chunk in chunks]) == chunks
        assert (await find(index, "599"))["bm25"] != []
        assert await verify(index) == []

    async def test_fetch_keeps_the_order_asked_for_and_leaves_out_unknown_ids(
        self, index: Index
    ) -> None:
        entry = await make_entry("a", "one", "two", "three")
        await index.commit([entry])
        one, two, three = (chunk.id for chunk in entry.chunks)
        fetched = await index.fetch([three, stable_id("chunk", "unknown"), one, two])
        assert [chunk.id for chunk in fetched] == [three, one, two]

    async def test_fetch_gives_no_records(self, index: Index) -> None:
        await index.commit([await make_entry("a", "wolf")])
        assert await index.fetch([record_id("a", tenant=DEFAULT_TENANT), IDENTITY_ID]) == []

    async def test_the_chunks_of_documents_come_in_order_and_no_others(self, index: Index) -> None:
        texts = [f"wolf {number}" for number in range(300)]
        entries = [
            await make_entry("a", *texts),
            await make_entry("b", "sheep"),
            await make_entry("c", "cat"),
            await make_entry("a", "wolf of yours", tenant="you"),
        ]
        await index.commit(entries[:3])
        await index.commit(entries[3:])
        found = await index.chunks(["c", "a", "none"])
        assert found == [*entries[2].chunks, *entries[0].chunks]
        (yours,) = await index.chunks(["a", "b"], tenant="you")
        assert yours == entries[3].chunks[0]
        await index.commit([await make_entry("a", "a new wolf")])
        assert [chunk.text for chunk in await index.chunks(["a"])] == ["a new wolf"]

    async def test_records_are_those_committed(self, index: Index) -> None:
        entries = [await make_entry(uri, "wolf", "sheep") for uri in ("a", "b")]
        await index.commit(entries)
        records = sorted(await index.records(), key=lambda record: record.uri)
        assert records == [entry.record for entry in entries]

    async def test_a_document_without_chunks_has_a_record(self, index: Index) -> None:
        entry = await make_entry("a")
        await index.commit([entry])
        assert await index.records() == [entry.record]
        assert await verify(index) == []

    async def test_committing_the_same_again_changes_nothing(self, index: Index) -> None:
        entry = await make_entry("a", "wolf", "sheep")
        await index.commit([entry])
        before = await find(index, "wolf")
        await index.commit([entry])
        assert await find(index, "wolf") == before
        assert await index.records() == [entry.record]
        assert await stored(index) == {entry.record.generation: 2}

    async def test_vectors_come_back_as_they_were(self, index: Index) -> None:
        entry = await make_entry("a", "wolf", "sheep", "stocks")
        await index.commit([entry])
        assert entry.vectors is not None
        ids = [chunk.id for chunk in entry.chunks]
        vectors = await index.vectors([ids[2], ids[0]])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, entry.vectors[[2, 0]], atol=1e-3)
        assert (await index.vectors([])).shape == (0, 64)
        with pytest.raises(InputError, match=f"no vector of a chunk '{NOT_STORED}'"):
            await index.vectors([ids[0], NOT_STORED])
        with pytest.raises(InputError, match="no vector"):
            await index.vectors(ids, tenant="you")

    async def test_records_are_found_by_uri_and_by_source(self, index: Index) -> None:
        entries = [await make_entry(uri, "wolf") for uri in ("a", "b", "c")]
        sources = ("files:x", "files:y", "files:x")
        entries = [
            replace(entry, record=replace(entry.record, source=source, stamp=f"12:{source}"))
            for entry, source in zip(entries, sources, strict=True)
        ]
        await index.commit(entries)
        a, _, c = (entry.record for entry in entries)
        assert await index.records(["c", "none", "a"]) == [c, a]
        assert await index.records([]) == []
        found = await index.records(source="files:x")
        assert sorted(record.uri for record in found) == ["a", "c"]
        assert await index.records(["b", "c"], source="files:x") == [c]
        assert await index.records(["a"], tenant="you") == []
        assert await index.records(source="files:x", tenant=None) != []
        assert await index.records(source="files") == []
        assert [record.stamp for record in await index.records(["b"])] == ["12:files:y"]
        with pytest.raises(InputError, match="uri 'abc' was given where a list belongs"):
            await index.records("abc")

    async def test_a_touched_record_is_overwritten_where_its_generation_is_current(
        self, index: Index
    ) -> None:
        first, second = await make_entry("a", "wolf"), await make_entry("a", "sheep")
        await index.commit([first])
        touched = replace(first.record, stamp="new")
        await index.touch([touched])
        assert [record.stamp for record in await index.records()] == ["new"]
        assert (await find(index, "wolf"))["dense"] == ["wolf"]
        assert await verify(index) == []
        await index.commit([second])
        await index.touch([touched, replace(touched, uri="unknown")])
        assert await index.records() == [second.record]

    async def test_a_tenant_without_a_name_is_refused(self, index: Index) -> None:
        entry = await make_entry("a", "wolf")
        await index.commit([entry])
        for call in (
            index.fetch([entry.chunks[0].id], tenant=""),
            index.chunks(["a"], tenant=""),
            index.vectors([entry.chunks[0].id], tenant=""),
            index.records(tenant=""),
            index.records(["a"], tenant=""),
            index.delete(["a"], tenant=""),
            index.versions(tenant=""),
            index.commit([replace(entry, record=replace(entry.record, tenant=""))]),
            index.touch([replace(entry.record, tenant="")]),
        ):
            with pytest.raises(InputError, match="tenant '' is no name"):
                await call
        assert await index.records() == [entry.record]

    async def test_chunks_of_another_generation_or_tenant_are_refused(self, index: Index) -> None:
        entry, other = await make_entry("a", "wolf"), await make_entry("a", "sheep")
        foreign = replace(entry, record=replace(entry.record, tenant="you"))
        for forged in (replace(entry, chunks=other.chunks), foreign):
            with pytest.raises(
                InputError, match=r"'a' has a chunk .* not of its tenant and version"
            ):
                await index.commit([forged])

    async def test_what_cannot_be_stored_is_refused_by_name_and_whole(self, index: Index) -> None:
        good = await make_entry("good", "wolf")
        bad = await make_entry("bad", "wolf")
        for text, metadata in UNSTORABLE:
            chunk = replace(bad.chunks[0], text=text, metadata=metadata)
            with pytest.raises(InputError, match="'bad'") as caught:
                await index.commit([good, replace(bad, chunks=(chunk,))])
            assert all(repr(name) in str(caught.value) for name in metadata if name == "author")
        assert await index.records() == []
        assert await stored(index) == {}

    async def test_vectors_that_do_not_fit_are_refused(self, index: Index) -> None:
        entry = await make_entry("a", "wolf", "sheep")
        assert entry.vectors is not None
        spoilt, zero = entry.vectors.copy(), entry.vectors.copy()
        spoilt[1, 5] = np.nan
        zero[1] = 0
        lists: Any = entry.vectors.tolist()  # breaks the type
        for vectors in (entry.vectors[:1], entry.vectors[:, :32], spoilt, zero, lists):
            with pytest.raises(InputError, match=r"'a'.*shape \(2, 64\)"):
                await index.commit(
                    [Entry(record=entry.record, chunks=entry.chunks, vectors=vectors)]
                )
        assert await index.records() == []

    # Updates and deletions

    async def test_an_update_is_seen_at_once_by_both_legs(self, index: Index) -> None:
        await index.commit([await make_entry("a", "wolf", "stocks"), await make_entry("b", "cat")])
        new = await make_entry("a", "sheep", "stocks")
        await index.commit([new])
        assert (await find(index, "wolf"))["bm25"] == []
        assert (await find(index, "sheep"))["bm25"] == ["sheep"]
        assert sorted((await find(index, "sheep"))["dense"]) == ["cat", "sheep", "stocks"]
        assert new.record in await index.records()
        assert len(await index.records()) == 2
        assert await verify(index) == []

    async def test_a_deletion_is_seen_at_once_by_both_legs(self, index: Index) -> None:
        entries = [await make_entry(uri, f"wolf {uri}") for uri in ("a", "b", "c")]
        await index.commit(entries)
        assert await index.delete(["a", "c", "unknown", "a"]) == 2
        assert await find(index, "wolf") == {"dense": ["wolf b"], "bm25": ["wolf b"]}
        assert await index.records() == [entries[1].record]
        assert await stored(index) == {entries[1].record.generation: 1}
        assert await index.fetch([entries[0].chunks[0].id]) == []

    async def test_one_uri_instead_of_a_list_is_refused(self, index: Index) -> None:
        await index.commit([await make_entry("a", "wolf")])
        for call in (index.delete("a"), index.chunks("a")):
            with pytest.raises(InputError, match="uri 'a' was given where a list belongs"):
                await call
        assert len(await index.records()) == 1

    async def test_an_update_of_metadata_is_a_generation_of_its_own(self, index: Index) -> None:
        old = await make_entry("a", make_chunk("wolf", uri="a", metadata={"lang": "en"}))
        new = await make_entry("a", make_chunk("wolf", uri="a", metadata={"lang": "de"}))
        assert old.chunks[0].id != new.chunks[0].id
        await index.commit([old])
        vectors = await index.vectors([old.chunks[0].id])
        await index.commit([replace(new, vectors=vectors)])
        assert await index.chunks(["a"]) == list(new.chunks)
        assert (await find(index, "wolf", where=Eq("lang", "de")))["dense"] == ["wolf"]
        np.testing.assert_allclose(await index.vectors([new.chunks[0].id]), vectors, atol=1e-3)
        assert await stored(index) == {new.record.generation: 1}

    async def test_of_a_document_that_is_given_twice_the_last_counts(self, index: Index) -> None:
        first, last = await make_entry("a", "wolf"), await make_entry("a", "sheep")
        await index.commit([first, last])
        assert await index.records() == [last.record]
        assert await find(index, "wolf sheep") == {"dense": ["sheep"], "bm25": ["sheep"]}
        assert await stored(index) == {last.record.generation: 1}

    async def test_many_writers_of_one_document_leave_one_version(self, index: Index) -> None:
        entries = [await make_entry("a", f"wolf {n}", f"sheep {n}") for n in range(12)]
        await asyncio.gather(*(index.commit([entry]) for entry in entries))
        (record,) = await index.records()
        assert record in [entry.record for entry in entries]
        assert await stored(index) == {record.generation: 2}
        assert {chunk.generation for chunk in await index.chunks(["a"])} == {record.generation}
        assert len((await find(index, "wolf"))["bm25"]) == 1
        assert await verify(index) == []

    async def test_what_was_deleted_can_come_back(self, index: Index) -> None:
        entry = await make_entry("a", "wolf")
        for _ in range(2):
            await index.commit([entry])
            assert await find(index, "wolf") == {"dense": ["wolf"], "bm25": ["wolf"]}
            await index.delete(["a"])
            assert await find(index, "wolf") == {"dense": [], "bm25": []}

    async def test_optimizing_changes_no_result(self, index: Index) -> None:
        await index.commit([await make_entry("a", "wolf", "wolf and sheep", "stocks fell")])
        await index.delete(["unknown"])
        before = await find(index, "wolf")
        await index.optimize()
        assert await find(index, "wolf") == before

    async def test_searches_and_commits_may_run_together(self, index: Index) -> None:
        async def write(number: int) -> None:
            tenant = f"tenant-{number % 3}"
            entry = await make_entry(f"doc-{number}", f"wolf of {tenant}", tenant=tenant)
            await index.commit([entry])

        async def read(number: int) -> None:
            tenant = f"tenant-{number % 3}"
            found = await find(index, "wolf", tenant=tenant)
            assert {*found["dense"], *found["bm25"]} <= {f"wolf of {tenant}"}

        await asyncio.gather(*(job(n) for n in range(24) for job in (write, read)))
        assert len(await index.records(tenant=None)) == 24
        assert await verify(index) == []

    # Crashes

    async def test_chunks_without_a_record_are_never_found(self, index: Index) -> None:
        self._skip_without_orphans()
        old = await make_entry("a", "wolf old", "sheep old")
        new = await make_entry("a", "wolf new")
        alone = await make_entry("b", "wolf alone")
        await index.commit([old])
        await self.store_chunks(index, new)
        await self.store_chunks(index, alone)
        for depth in (1, 2, 100):
            found = await find(index, "wolf", depth=depth)
            assert found["bm25"] == ["wolf old"]
            assert set(found["dense"]) <= {"wolf old", "sheep old"}
            assert len(found["dense"]) == min(depth, 2)
        assert await index.fetch([new.chunks[0].id, alone.chunks[0].id]) == []
        assert await index.chunks(["a", "b"]) == list(old.chunks)

    async def test_chunks_without_a_record_are_reported_and_dropped(self, index: Index) -> None:
        self._skip_without_orphans()
        sound, orphan = await make_entry("sound", "wolf"), await make_entry("b", "sheep", "cow")
        await index.commit([sound])
        await self.store_chunks(index, orphan)
        assert await verify(index, tenant="you") == []
        (fault,) = await verify(index)
        assert (fault.kind, fault.generation) == ("orphan", orphan.record.generation)
        assert (fault.expected, fault.found, fault.record) == (0, 2, None)
        await repair(index, [fault])
        assert await verify(index) == []
        assert await stored(index) == {sound.record.generation: 1}
        assert (await find(index, "wolf"))["bm25"] == ["wolf"]

    async def test_a_repair_touches_only_the_write_that_was_seen(self, index: Index) -> None:
        self._skip_without_orphans()
        entry = await make_entry("a", "wolf", "sheep")
        await self.store_chunks(index, entry)
        faults = await verify(index)
        await index.commit([entry])  # the same generation, stored by another writer meanwhile
        await repair(index, faults)
        assert await stored(index) == {entry.record.generation: 2}
        assert await verify(index) == []
        await repair(index, faults)
        assert await index.chunks(["a"]) == list(entry.chunks)

    async def test_a_record_without_its_chunks_is_reported_and_forgotten(
        self, index: Index
    ) -> None:
        whole = await make_entry("a", "wolf", "sheep", tenant="me")
        assert whole.vectors is not None
        half = Entry(record=whole.record, chunks=whole.chunks[:1], vectors=whole.vectors[:1])
        none = Entry(record=(await make_entry("b", "cow")).record, chunks=(), vectors=None)
        await index.commit([half, none])
        faults = sorted(await verify(index), key=str)
        assert [str(fault) for fault in faults] == [
            "incomplete: 'a' has 1 chunks, 2 expected",
            "incomplete: 'b' has 0 chunks, 1 expected",
        ]
        await index.commit([whole])  # ingested again meanwhile
        await repair(index, faults)
        assert await verify(index) == []
        assert await index.records(tenant=None) == [whole.record]
        assert await stored(index) == {whole.record.generation: 2}

    async def test_records_whose_chunks_are_not_all_there_are_known(self, index: Index) -> None:
        whole, half, none, empty = [
            await make_entry(uri, *texts, tenant="me")
            for uri, texts in (
                ("whole", ["wolf", "sheep"]),
                ("half", ["cow", "goat"]),
                ("none", ["pig"]),
                ("empty", []),
            )
        ]
        assert half.vectors is not None
        await index.commit(
            [
                whole,
                Entry(record=half.record, chunks=half.chunks[:1], vectors=half.vectors[:1]),
                Entry(record=none.record, chunks=(), vectors=None),
                empty,
            ]
        )
        assert await index.incomplete([whole.record, empty.record]) == []
        records = await index.records(tenant="me")
        assert {one.uri for one in await index.incomplete(records)} == {"half", "none"}
        await index.commit([half])
        assert await index.incomplete(await index.records(["none", "half"], tenant="me")) == [
            none.record
        ]

    async def test_a_record_that_was_replaced_meanwhile_is_not_incomplete(
        self, index: Index
    ) -> None:
        old = await make_entry("a", "wolf", "sheep")
        gone = await make_entry("b", "cow")
        await index.commit([old, gone])
        before = await index.records()
        await index.commit([await make_entry("a", "wolf again")])
        await index.delete(["b"])
        assert await index.incomplete(before) == []

    async def test_versions_are_those_of_a_tenant_or_of_all(self, index: Index) -> None:
        mine = await make_entry("a", "wolf", "sheep", tenant="me")
        yours = await make_entry("a", "wolf", tenant="you")
        await index.commit([mine, yours])
        (one,) = await index.versions(tenant="me")
        assert (one.tenant, one.generation, one.chunks) == ("me", mine.record.generation, 2)
        assert not one.pending
        assert await stored(index) == {mine.record.generation: 2, yours.record.generation: 1}

    def _skip_without_orphans(self) -> None:
        if not self.leaves_orphans:
            pytest.skip("this store has no moment in which a crash could leave a part")


async def stored(index: Index) -> dict[str, int]:
    """Return the number of stored chunks of every generation."""
    counts: dict[str, int] = {}
    for one in await index.versions(tenant=None):
        counts[one.generation] = counts.get(one.generation, 0) + one.chunks
    return counts
