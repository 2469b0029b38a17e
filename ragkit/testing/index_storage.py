"""The part of the `IndexContract` about storing, changing, deleting and repairing documents."""

# ruff: noqa: D102 - a test's name says the behaviour

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.protocols import Entry, Index
from ragkit.core.types import DEFAULT_TENANT, Chunk, MetadataValue, stable_id
from ragkit.index.integrity import repair, verify
from ragkit.index.layout import IDENTITY_ID, record_id
from ragkit.testing.index_examples import (
    UNSTORABLE,
    find,
    leave_orphans,
    make_chunk,
    make_entry,
    metadata_values,
)
from ragkit.testing.index_fixtures import SHARED, IndexFixtures


class StorageContract(IndexFixtures):
    """Tests of an index as a store of documents."""

    # What is stored

    async def test_a_chunk_comes_back_as_it_was(self, index: Index) -> None:
        chunk = Chunk(
            id=stable_id("chunk", "whole"),
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
        bare = make_chunk("wolf", uri="file:///a b/ü.md", ordinal=1)
        await index.commit([await make_entry(chunk.uri, chunk, bare)])
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
        await index.commit([await make_entry("any", chunk)])
        assert await index.fetch([chunk.id]) == [chunk]

    async def test_a_long_text_comes_back_and_its_last_word_is_found(self, index: Index) -> None:
        text = "sheep eat grass. " * 20_000 + "wolf"
        await index.commit([await make_entry("a", text, "stocks fell")])
        assert (await find(index, "wolf"))["bm25"] == [text]

    async def test_many_documents_are_committed_at_once(self, index: Index) -> None:
        entries = [await make_entry(f"doc-{n}", f"wolf {n}", f"sheep {n}") for n in range(600)]
        await index.commit(entries)
        records = await index.records()
        assert sorted(record.uri for record in records) == sorted(e.record.uri for e in entries)
        assert sum((await index.generations()).values()) == 1200
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

    async def test_the_chunks_of_documents_are_all_there_and_no_others(self, index: Index) -> None:
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
        assert sorted(chunk.id for chunk in found) == sorted(
            chunk.id for entry in (entries[0], entries[2]) for chunk in entry.chunks
        )
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
        assert await index.generations() == {entry.record.generation: 2}

    async def test_what_cannot_be_stored_is_refused_by_name_and_whole(self, index: Index) -> None:
        good = await make_entry("good", "wolf")
        bad = await make_entry("bad", "wolf")
        for text, metadata in UNSTORABLE:
            chunk = replace(bad.chunks[0], text=text, metadata=metadata)
            with pytest.raises(InputError, match="'bad'"):
                await index.commit([good, replace(bad, chunks=(chunk,))])
        assert await index.records() == []
        assert await index.generations() == {}

    async def test_vectors_that_do_not_fit_are_refused(self, index: Index) -> None:
        entry = await make_entry("a", "wolf", "sheep")
        assert entry.vectors is not None
        spoilt = entry.vectors.copy()
        spoilt[1, 5] = np.nan
        for vectors in (entry.vectors[:1], entry.vectors[:, :32], spoilt):
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
        await index.delete(["a", "c", "unknown"])
        assert await find(index, "wolf") == {"dense": ["wolf b"], "bm25": ["wolf b"]}
        assert await index.records() == [entries[1].record]
        assert await index.generations() == {entries[1].record.generation: 1}
        assert await index.fetch([entries[0].chunks[0].id]) == []

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

    async def test_chunks_without_a_record_are_found_and_dropped(self, index: Index) -> None:
        sound = await make_entry("sound", "wolf")
        await index.commit([sound])
        generation = await leave_orphans(index, "sheep", "cow")
        (fault,) = await verify(index)
        assert (fault.kind, fault.generation) == ("orphan", generation)
        assert (fault.expected, fault.found, fault.record) == (0, 2, None)
        await repair(index, [fault])
        assert await verify(index) == []
        assert await index.generations() == {sound.record.generation: 1}
        assert (await find(index, "sheep"))["bm25"] == []
        assert (await find(index, "wolf"))["bm25"] == ["wolf"]

    async def test_a_record_without_its_chunks_is_found_and_forgotten(self, index: Index) -> None:
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
        await repair(index, faults)
        assert await verify(index) == []
        assert await index.records(tenant=None) == []
        assert await index.generations() == {}

    async def test_generations_count_chunks_over_all_tenants(self, index: Index) -> None:
        entries = [
            await make_entry("a", "wolf", "sheep", tenant="me"),
            await make_entry("a", "wolf", tenant="you"),
        ]
        await index.commit(entries)
        counts = {entry.record.generation: len(entry.chunks) for entry in entries}
        assert await index.generations() == counts
        await index.drop_generations([entries[0].record.generation])
        assert await index.generations() == {entries[1].record.generation: 1}
        assert (await find(index, "wolf", tenant="me")) == {"dense": [], "bm25": []}
