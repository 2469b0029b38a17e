"""Backups are whole or refused, go from one kind of store to another, and lose nothing."""

import asyncio
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from ragkit.core.errors import IndexMismatch, InputError
from ragkit.core.protocols import Entry, Index
from ragkit.core.types import DEFAULT_TENANT, Chunk, FloatArray
from ragkit.index.backup import BackupReport, restore_backup, write_backup
from ragkit.index.edge import EdgeIndex
from ragkit.index.integrity import verify
from ragkit.index.memory import MemoryIndex
from ragkit.testing.index_examples import FIELDS, IDENTITY, NO_VECTORS, find, make_entry


async def filled(*uris: str, tenant: str = DEFAULT_TENANT) -> MemoryIndex:
    index = MemoryIndex(IDENTITY, fields=FIELDS)
    for uri in uris:
        await index.commit([await make_entry(uri, f"wolf of {uri}", "狼と羊", tenant=tenant)])
    return index


async def contents(index: Index, tenant: str = DEFAULT_TENANT) -> list[tuple[Chunk, list[float]]]:
    records = sorted(await index.records(tenant=tenant), key=lambda record: record.uri)
    chunks = await index.chunks([record.uri for record in records], tenant=tenant)
    vectors = await index.vectors([chunk.id for chunk in chunks], tenant=tenant)
    # An embedded store keeps 16 bits of each number.
    rows = vectors.astype("float16").tolist()
    return list(zip(chunks, rows, strict=True))


async def test_a_backup_goes_from_one_kind_of_store_to_another(tmp_path: Path) -> None:
    index, file = await filled("a", "b"), tmp_path / "backup.zip"
    await index.commit([await make_entry("a", "sheep", tenant="other")])
    assert await write_backup(index, file) == BackupReport(documents=3, chunks=5)
    embedded = await EdgeIndex.open(tmp_path / "index", IDENTITY, fields=FIELDS)
    for _ in range(2):  # also where it was stopped and is run again
        assert await restore_backup(embedded, file) == BackupReport(documents=3, chunks=5)
    assert await verify(embedded) == []
    assert await contents(embedded) == await contents(index)
    assert await contents(embedded, "other") == await contents(index, "other")
    by_uri = {record.uri: record for record in await embedded.records()}
    assert by_uri == {record.uri: record for record in await index.records()}
    assert (await find(embedded, "wolf"))["bm25"]
    await embedded.close()


async def test_one_tenant_alone_is_written(tmp_path: Path) -> None:
    index, file = await filled("a"), tmp_path / "backup.zip"
    await index.commit([await make_entry("secret", "sheep", tenant="other")])
    assert (await write_backup(index, file, tenant="other")).documents == 1
    restored = MemoryIndex(IDENTITY)
    await restore_backup(restored, file)
    assert await restored.records() == []


async def test_an_index_without_vectors_or_documents_is_written(tmp_path: Path) -> None:
    words = MemoryIndex(NO_VECTORS)
    await words.commit([await make_entry("a", "wolf", vectors=False)])
    await write_backup(words, tmp_path / "words.zip")
    restored = MemoryIndex(NO_VECTORS)
    assert (await restore_backup(restored, tmp_path / "words.zip")).documents == 1
    await write_backup(MemoryIndex(IDENTITY), tmp_path / "empty.zip")
    empty = await restore_backup(MemoryIndex(IDENTITY), tmp_path / "empty.zip")
    assert empty == BackupReport(documents=0, chunks=0)


async def test_a_file_that_exists_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    index, file = await filled("a"), tmp_path / "backup.zip"
    file.write_text("mine")
    with pytest.raises(InputError, match=r"exists. Fix: name a new file"):
        await write_backup(index, file)
    assert file.read_text() == "mine"
    with pytest.raises(InputError, match="cannot be written"):
        await write_backup(index, tmp_path / "missing" / "backup.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["backup.zip"]


async def test_a_damaged_backup_stores_nothing(tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    await write_backup(await filled("a", "b"), whole)
    data = whole.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 3] ^= 0xFF
    damaged = {
        "cut": data[: len(data) // 2],
        "flipped": bytes(flipped),
        "text": b"no",
        "empty": b"",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "part", "w") as part:
        for member in archive.namelist()[:-1]:
            part.writestr(member, archive.read(member))
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "fewer", "w") as fewer:
        fewer.writestr("backup.json", archive.read("backup.json"))
    index = MemoryIndex(IDENTITY)
    for name in [*damaged, "part", "fewer", "missing"]:
        with pytest.raises(InputError, match="is no whole backup"):
            await restore_backup(index, tmp_path / name)
    assert await index.records() == []


async def test_other_versions_are_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    await write_backup(await filled("a", "b"), file)
    index = MemoryIndex(IDENTITY)
    await index.commit([await make_entry("b", "newer"), await make_entry("c", "kept")])
    with pytest.raises(InputError, match=r"another version of 'b'.*--force"):
        await restore_backup(index, file)
    assert {record.uri for record in await index.records()} == {"b", "c"}
    await restore_backup(index, file, force=True)
    assert {record.uri for record in await index.records()} == {"a", "b", "c"}
    assert (await find(index, "newer"))["bm25"] == []
    assert (await find(index, "kept"))["bm25"] == ["kept"]


async def test_two_backups_to_one_file_leave_one_that_is_whole(tmp_path: Path) -> None:
    indexes, file = [await filled("a"), await filled("b")], tmp_path / "backup.zip"
    done = await asyncio.gather(
        *(write_backup(index, file) for index in indexes), return_exceptions=True
    )
    assert [path.name for path in tmp_path.iterdir()] == ["backup.zip"]
    assert len([one for one in done if isinstance(one, InputError)]) <= 1
    assert (await restore_backup(MemoryIndex(IDENTITY), file)).documents == 1


async def test_a_tenant_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The tenant 'defualt' has no documents"):
        await write_backup(await filled("a"), tmp_path / "backup.zip", tenant="defualt")
    assert list(tmp_path.iterdir()) == []


class FullIndex(MemoryIndex):
    """Its disk is full."""

    async def commit(self, entries: Sequence[Entry]) -> None:
        raise OSError(28, "No space left on device")


async def test_a_failure_of_the_store_is_not_taken_for_one_of_the_backup(tmp_path: Path) -> None:
    await write_backup(await filled("a"), tmp_path / "backup.zip")
    with pytest.raises(OSError, match="No space left"):
        await restore_backup(FullIndex(IDENTITY), tmp_path / "backup.zip")


async def test_an_index_of_another_embedder_is_refused(tmp_path: Path) -> None:
    await write_backup(await filled("a"), tmp_path / "backup.zip")
    with pytest.raises(IndexMismatch, match="embedder"):
        await restore_backup(MemoryIndex(NO_VECTORS), tmp_path / "backup.zip")


class ChangingIndex(MemoryIndex):
    """Another writer changes documents between two reads of them."""

    changes = 1

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        if self.changes:
            self.changes -= 1
            await self.commit([await make_entry("a", f"version {self.changes}", "more")])
            await self.delete(["b"])
        return await super().vectors(ids, tenant=tenant)


async def test_a_document_that_changes_meanwhile_is_written_as_it_is_then(tmp_path: Path) -> None:
    index = ChangingIndex(IDENTITY)
    await index.commit([await make_entry(uri, "wolf") for uri in ("a", "b", "c")])
    await write_backup(index, tmp_path / "backup.zip")
    restored = MemoryIndex(IDENTITY)
    await restore_backup(restored, tmp_path / "backup.zip")
    assert await contents(restored) == await contents(index)


async def test_a_document_that_never_holds_still_is_named(tmp_path: Path) -> None:
    index = ChangingIndex(IDENTITY)
    index.changes = 100
    await index.commit([await make_entry("a", "wolf")])
    with pytest.raises(InputError, match="'a' changed 5 times"):
        await write_backup(index, tmp_path / "backup.zip")
    assert list(tmp_path.iterdir()) == []
