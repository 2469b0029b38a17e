"""Backups: all documents of an index with their vectors in one file, for any kind of store.

A backup is a ZIP file. Each member `documents/N.jsonl` has one document in a line, as
`ragkit.index.remote_wire.EntryBody`; `backup.json`, which is written last, says what there is.
"""

import asyncio
import uuid
import zipfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.protocols import Entry, Index
from ragkit.core.types import DocumentRecord, FieldType, IndexIdentity
from ragkit.index.layout import check_identity
from ragkit.index.remote_wire import EntryBody

_MANIFEST = "backup.json"
_BATCH_CHUNKS = 1000
_ATTEMPTS = 5
_DAMAGED = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RecursionError)


class BackupManifest(BaseModel):
    """The contents of a backup, by number."""

    format: Literal[1] = 1
    identity: IndexIdentity
    fields: dict[str, FieldType]
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """The documents and chunks that a backup holds, or that were restored and are stored now."""

    documents: int
    chunks: int


async def write_backup(index: Index, file: Path, *, tenant: str | None = None) -> BackupReport:
    """Write all documents of an index, or of one tenant, to a new file.

    Others may write to the index meanwhile: each document is as it was at one moment. The file
    appears when it is whole.

    Raises:
        InputError: The file exists or cannot be written, or the tenant has no documents.
    """
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    documents = chunks = 0
    try:
        await asyncio.to_thread(_check_new, file)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            async for entries in _entries(index, tenant):
                if not entries:
                    continue
                lines = await asyncio.to_thread(_lines, entries)
                await asyncio.to_thread(archive.writestr, f"documents/{documents}.jsonl", lines)
                documents += len(entries)
                chunks += sum(len(entry.chunks) for entry in entries)
            manifest = BackupManifest(
                identity=index.identity,
                fields=dict(index.fields),
                documents=documents,
                chunks=chunks,
            )
            archive.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
        if tenant is not None and not documents:
            raise InputError(f"The tenant {tenant!r} has no documents. Fix: check its name.")
        await asyncio.to_thread(_check_new, file)
        part.rename(file)
    except OSError as error:
        raise InputError(
            f"{str(file)!r} cannot be written: {error}. Fix: choose another."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return BackupReport(documents=documents, chunks=chunks)


def check_backup(file: Path) -> None:
    """Check that a file is a backup that was written to its end; documents are not read.

    Raises:
        InputError: It is not.
    """
    with _opened(file) as archive:
        _manifest(archive, file)


async def restore_backup(index: Index, file: Path, *, force: bool = False) -> BackupReport:
    """Store the documents of a backup, with the vectors that they had.

    The whole file is checked first. A restore that was stopped can be run again.

    Args:
        index: Where to store them. Its searched prefix and its language may be others.
        file: The backup.
        force: Let documents of the backup replace those that are stored under their uris.

    Raises:
        InputError: The file is no backup or is damaged, or the index has other documents of these
            names and `force` is False. Nothing is stored then.
        IndexMismatch: The index was built with another embedder.
    """
    with _opened(file) as archive:
        manifest = await asyncio.to_thread(_manifest, archive, file)
        wanted = replace(
            manifest.identity,
            search_dimensions=index.identity.search_dimensions,
            language=index.identity.language,
        )
        check_identity(index.identity, wanted, location=str(file))
        found = 0
        for name in _members(archive):
            entries = await asyncio.to_thread(_read, archive, name, file)
            found += len(entries)
            if not force:
                await _check_free(index, [entry.record for entry in entries], file)
        if found != manifest.documents:
            raise _no_backup(file, f"it has {found} documents, not {manifest.documents}")
        documents = chunks = 0
        for name in _members(archive):
            entries = await asyncio.to_thread(_read, archive, name, file)
            await index.commit(entries)
            stored = await _stored(index, [entry.record for entry in entries])
            documents += len(stored)
            chunks += sum(record.chunks for record in stored)
    await index.optimize()
    return BackupReport(documents=documents, chunks=chunks)


async def _entries(index: Index, tenant: str | None) -> AsyncGenerator[list[Entry]]:
    """Yield the documents in batches."""
    records = sorted(await index.records(tenant=tenant), key=lambda one: (one.tenant, one.uri))
    for owner, owned in groupby(records, key=lambda record: record.tenant):
        batch: list[DocumentRecord] = []
        for record in owned:
            if batch and sum(one.chunks for one in batch) + record.chunks > _BATCH_CHUNKS:
                yield await _batch(index, batch, owner)
                batch = []
            batch.append(record)
        yield await _batch(index, batch, owner)


async def _batch(index: Index, records: Sequence[DocumentRecord], tenant: str) -> list[Entry]:
    """Read documents, those that were changed meanwhile again, without those that are gone."""
    entries: list[Entry] = []
    for _ in range(_ATTEMPTS):
        chunks = await index.chunks([record.uri for record in records], tenant=tenant)
        by_uri = {uri: tuple(found) for uri, found in groupby(chunks, key=lambda one: one.uri)}
        changed: list[str] = []
        for record in records:
            found = by_uri.get(record.uri, ())
            whole = len(found) == record.chunks
            if not whole or any(chunk.generation != record.generation for chunk in found):
                changed.append(record.uri)
                continue
            vectors = None
            if index.identity.dimensions:
                try:
                    vectors = await index.vectors([chunk.id for chunk in found], tenant=tenant)
                except InputError:  # they were replaced between the two calls
                    changed.append(record.uri)
                    continue
            entries.append(Entry(record=record, chunks=found, vectors=vectors))
        if not changed:
            return entries
        records = await index.records(changed, tenant=tenant)
    names = ", ".join(repr(record.uri) for record in records[:3])
    raise InputError(f"{names} changed {_ATTEMPTS} times while they were read. Fix: try again.")


def _check_new(file: Path) -> None:
    if file.exists():
        raise InputError(f"{str(file)!r} exists. Fix: name a new file, or remove it.")


def _lines(entries: Sequence[Entry]) -> str:
    return "".join(f"{EntryBody.of(entry).model_dump_json()}\n" for entry in entries)


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_backup(file, error) from error


def _manifest(archive: zipfile.ZipFile, file: Path) -> BackupManifest:
    try:
        return BackupManifest.model_validate_json(archive.read(_MANIFEST))
    except (KeyError, ValidationError, *_DAMAGED) as error:
        raise _no_backup(file, error) from error


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.startswith("documents/")]


def _read(archive: zipfile.ZipFile, name: str, file: Path) -> list[Entry]:
    """Read a member to its end, where its checksum is compared."""
    try:
        with archive.open(name) as lines:
            return [EntryBody.model_validate_json(line).entry() for line in lines]
    except (ValidationError, InputError, *_DAMAGED) as error:
        raise _no_backup(file, error) from error


async def _check_free(index: Index, records: Sequence[DocumentRecord], file: Path) -> None:
    wanted = {(record.tenant, record.uri): record.generation for record in records}
    for known in await _known(index, records):
        if wanted[known.tenant, known.uri] != known.generation:
            raise InputError(
                f"The index has another version of {known.uri!r} than {str(file)!r}. "
                "Fix: restore into a new index, or replace the stored version with --force."
            )


async def _stored(index: Index, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
    """Return those of the records whose generation is the stored one."""
    wanted = {(record.tenant, record.uri): record.generation for record in records}
    found = await _known(index, records)
    return [one for one in found if wanted[one.tenant, one.uri] == one.generation]


async def _known(index: Index, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
    """Return the records that the index has for these documents."""
    by_tenant: dict[str, list[str]] = {}
    for record in records:
        by_tenant.setdefault(record.tenant, []).append(record.uri)
    return [
        found
        for tenant, uris in by_tenant.items()
        for found in await index.records(uris, tenant=tenant)
    ]


def _no_backup(file: Path, reason: Exception | str) -> InputError:
    return InputError(f"{str(file)!r} is no whole backup: {reason}. Fix: use another backup.")
