"""Documents over HTTP: upload, list, text, delete, and the jobs that ingest uploads."""

import asyncio
import dataclasses
import logging
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from pydantic import TypeAdapter, ValidationError

from ragkit.core.document_text import text_of
from ragkit.core.errors import RagkitError
from ragkit.core.operation import Operation
from ragkit.core.progress import OnProgress
from ragkit.core.types import Chunk, Document, DocumentRecord, MetadataValue
from ragkit.ingest.build import build_registry
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.sdk import AsyncRAG
from ragkit.server.errors import ApiError
from ragkit.server.jobs import IngestJob
from ragkit.server.keys import ApiKey
from ragkit.server.sse import EventStream, event, guarded
from ragkit.server.state import Reader, ServerState, State, Writer, admitted

router = APIRouter(tags=["documents"])
_log = logging.getLogger(__name__)

_METADATA = TypeAdapter(dict[str, MetadataValue])
_PIECE = 1 << 20
_URI_CHARS = 1000

_Uri = Annotated[str, Query(min_length=1, max_length=_URI_CHARS)]


@router.post("/v1/documents", summary="Upload documents", status_code=202)
async def upload(
    request: Request,
    state: State,
    key: Writer,
    files: Annotated[list[UploadFile], File(description="Files of any format that is read.")],
    metadata: Annotated[str, Form(description="A JSON object, added to every file.")] = "{}",
) -> dict[str, Any]:
    """Store files and ingest them in the background. A file's name becomes its uri.

    A file with the name of a stored document replaces it. Follow the job at its `events`.
    """
    try:
        added = _METADATA.validate_json(metadata)
    except ValidationError as error:
        raise ApiError(
            400,
            "metadata is not a JSON object of texts, numbers, booleans and lists of texts.",
            code="invalid_value",
            param="metadata",
        ) from error
    names = [_uri(file.filename) for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ApiError(400, f"{twice!r} was sent twice.", code="invalid_value", param="files")
    async with admitted(state, key):
        await _check_documents(state, key, names)
        name, folder = state.jobs.new_folder()
        stored = {str(number): uri for number, uri in enumerate(names)}
        left = key.limits.upload_bytes
        try:
            for number, file in enumerate(files):
                left = await _save(file, folder / str(number), left)
            job = await state.jobs.submit(name, tenant=key.tenant, files=stored, metadata=added)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise _no_room(error) from error
            raise
    return job.json()


@router.get("/v1/jobs", summary="List ingestion jobs")
async def jobs(state: State, key: Reader) -> dict[str, Any]:
    """Return the last hundred jobs, the latest first."""
    data = [job.json() for job in state.jobs.jobs(tenant=key.tenant)]
    return {"object": "list", "data": data}


@router.get("/v1/jobs/{name}", summary="Show an ingestion job")
async def job(name: str, state: State, key: Reader) -> dict[str, Any]:
    """Return a job with its progress, its report or its error."""
    return _job(state, key, name).json()


@router.get("/v1/jobs/{name}/events", summary="Follow an ingestion job", response_model=None)
async def job_events(name: str, state: State, key: Reader) -> Response:
    """Send the job at once and at every change, as server-sent events, until it has ended."""
    _job(state, key, name)
    changes = _changes(state, key, name)
    events = guarded(changes, closing=state.closing, seconds=state.request_seconds)
    return EventStream(events, holding=AsyncExitStack())


@router.get("/v1/documents", summary="List the documents")
async def documents(
    state: State,
    key: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=_URI_CHARS)] = "",
) -> dict[str, Any]:
    """Return documents in the order of their uris; `after` is the last uri of the page before."""
    async with admitted(state, key):
        rows, more = await listed(state.rag, tenant=key.tenant, after=after, limit=limit)
    data = [
        {"object": "document", "uri": row.uri, "title": row.title, "chunks": row.chunks}
        for row in rows
    ]
    return {"object": "list", "data": data, "has_more": more}


@router.get("/v1/documents/chunks", summary="Show a document's chunks")
async def document_chunks(uri: _Uri, state: State, key: Reader) -> dict[str, Any]:
    """Return the chunks of a document in order, with their exact offsets in its text."""
    async with admitted(state, key):
        chunks = await _chunks(state.rag, uri, key)
    data = [
        {
            "id": chunk.id,
            "text": chunk.text,
            "start": chunk.start,
            "end": chunk.end,
            "heading_path": list(chunk.heading_path),
            "context": chunk.context,
            "page": chunk.page,
            "metadata": dict(chunk.metadata),
        }
        for chunk in chunks
    ]
    return {"object": "list", "uri": uri, "data": data}


@router.get("/v1/documents/text", summary="Show a document's text", response_model=None)
async def document_text(uri: _Uri, state: State, key: Reader) -> Response:
    """Return a document's text as plain text; citations are offsets into it."""
    async with admitted(state, key):
        chunks = await _chunks(state.rag, uri, key)
    headers = {"X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(text_of(chunks), headers=headers)


@router.delete("/v1/documents", summary="Delete a document")
async def delete(uri: _Uri, state: State, key: Writer) -> dict[str, Any]:
    """Remove a document and its chunks."""
    async with admitted(state, key):
        if not await state.rag.delete(uri, tenant=key.tenant):
            raise _unknown(uri)
    return {"object": "document", "uri": uri, "deleted": True}


async def ingest_job(rag: AsyncRAG, job: IngestJob, on_progress: OnProgress) -> IngestReport:
    """Load the files of a job and ingest them; a file that cannot be read is reported."""
    with Operation(kind="ingestion stage", name="load") as loading:
        loaded = await asyncio.to_thread(_loaded, rag, job)
        failed = [one for one in loaded if isinstance(one, FailedDocument)]
        loading.facts["failed_documents"] = len(failed)
    good = [one for one in loaded if isinstance(one, Document)]
    report = IngestReport()
    if good:
        report = await rag.ingest(*good, tenant=job.tenant, on_progress=on_progress)
    report.failed.extend(failed)
    return report


def _loaded(rag: AsyncRAG, job: IngestJob) -> list[Document | FailedDocument]:
    found: list[Document | FailedDocument] = []
    registry = build_registry(rag.settings.ingest)
    for name, uri in job.files.items():
        try:
            data = (job.folder / name).read_bytes()
            document = registry.loader(data, uri).load(data, uri=uri)
        except RagkitError as error:
            found.append(FailedDocument(uri=uri, reason=str(error)))
            continue
        metadata = {**document.metadata, **job.metadata}
        found.append(dataclasses.replace(document, metadata=metadata))
    return found


async def _check_documents(state: ServerState, key: ApiKey, names: list[str]) -> None:
    most = key.limits.documents
    if most is None:
        return
    known = {record.uri for record in await state.rag.documents(tenant=key.tenant)}
    if len(known | set(names)) > most:
        raise ApiError(403, f"The key allows {most} documents.", code="document_limit_exceeded")


async def _save(file: UploadFile, target: Path, left: int | None) -> int | None:
    """Write an upload in pieces; returns the bytes that the key still allows."""
    with target.open("wb") as stream:
        while piece := await file.read(_PIECE):
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise ApiError(
                        413, "The key allows no upload of this size.", code="upload_too_large"
                    )
            await asyncio.to_thread(stream.write, piece)
    return left


async def listed(
    rag: AsyncRAG, *, tenant: str, after: str, limit: int
) -> tuple[list[DocumentRecord], bool]:
    """Return the documents behind a uri in their order, and whether there are more."""
    records = await rag.documents(tenant=tenant)
    rows = sorted((row for row in records if row.uri > after), key=lambda row: row.uri)
    return rows[:limit], len(rows) > limit


async def _chunks(rag: AsyncRAG, uri: str, key: ApiKey) -> list[Chunk]:
    chunks = await rag.chunks(uri, tenant=key.tenant)
    if not chunks:
        raise _unknown(uri)
    return chunks


async def _changes(state: ServerState, key: ApiKey, name: str) -> AsyncGenerator[bytes]:
    async with aclosing(state.jobs.follow(name, tenant=key.tenant)) as jobs:
        async for changed in jobs:
            yield event(changed.json(), name=changed.state)


def _job(state: ServerState, key: ApiKey, name: str) -> IngestJob:
    found = state.jobs.find(name, tenant=key.tenant)
    if found is None:
        raise ApiError(404, f"No job {name!r}.", code="job_not_found")
    return found


def _no_room(error: OSError) -> ApiError:
    _log.error("an upload cannot be stored: %s", error)
    return ApiError(503, "The server has no room for the upload.", code="storage_full")


def _unknown(uri: str) -> ApiError:
    return ApiError(404, f"No document {uri!r}.", code="document_not_found", param="uri")


def _uri(filename: str | None) -> str:
    """The uri of an uploaded file: its name, without anything that leads out of a folder."""
    parts = PurePosixPath((filename or "").replace("\\", "/")).parts
    kept = [part for part in parts if part not in {"/", ".", ".."} and not part.endswith(":")]
    uri = "/".join(kept)
    if not uri or len(uri) > _URI_CHARS or not uri.isprintable():
        raise ApiError(
            400, f"{filename!r} is not a file's name.", code="invalid_value", param="files"
        )
    return uri
