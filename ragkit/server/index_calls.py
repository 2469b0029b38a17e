"""The index itself over HTTP, for `RAG(index="ragkit:http://host:port")` in other processes."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from fastapi import APIRouter

from ragkit.core.protocols import Index, StoredVersion
from ragkit.core.types import DocumentRecord
from ragkit.index.remote_wire import (
    WRONG_TENANT,
    ChunksBody,
    CommitCall,
    CountBody,
    DoneBody,
    FoundLegs,
    IdsCall,
    IndexFacts,
    RecordsBody,
    RecordsCall,
    SearchCall,
    UrisCall,
    VectorRows,
    VersionsBody,
    VersionsCall,
)
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey
from ragkit.server.state import Reader, ServerState, State, Writer, admitted

router = APIRouter(prefix="/v1/index", tags=["index"])


@router.get("", summary="Show what the index was built with")
async def facts(state: State, key: Reader) -> IndexFacts:
    """Return the identity of the index and its filterable fields."""
    index = await state.rag.index()
    return IndexFacts(identity=index.identity, fields=dict(index.fields), writable=key.may("write"))


@router.post("/search", summary="Run the legs of a query")
async def search(call: SearchCall, state: State, key: Reader) -> FoundLegs:
    """Return the ranked results of the dense and the BM25 leg."""
    query = call.query()
    async with _index(state, key, query.tenant) as index:
        return FoundLegs.of(await index.search(query))


@router.post("/fetch", summary="Fetch chunks by their ids")
async def fetch(call: IdsCall, state: State, key: Reader) -> ChunksBody:
    """Return the chunks in the order of the ids, without those unknown."""
    async with _index(state, key, call.tenant) as index:
        return ChunksBody(chunks=await index.fetch(call.ids, tenant=call.tenant))


@router.post("/chunks", summary="Fetch the chunks of documents")
async def chunks(call: UrisCall, state: State, key: Reader) -> ChunksBody:
    """Return all chunks of the documents in the order of the uris."""
    async with _index(state, key, call.tenant) as index:
        return ChunksBody(chunks=await index.chunks(call.uris, tenant=call.tenant))


@router.post("/vectors", summary="Fetch vectors of chunks")
async def vectors(call: IdsCall, state: State, key: Reader) -> VectorRows:
    """Return the whole vectors of chunks in the order of the ids."""
    async with _index(state, key, call.tenant) as index:
        return VectorRows.of(await index.vectors(call.ids, tenant=call.tenant))


@router.post("/records", summary="List the records of documents")
async def records(call: RecordsCall, state: State, key: Reader) -> RecordsBody:
    """Return the records of documents, of all tenants that the key reaches where none is named."""
    tenant = _tenant(state, key, call.tenant)
    async with _index(state, key) as index:
        found = await index.records(call.uris, tenant=tenant, source=call.source)
        return RecordsBody(records=found)


@router.post("/versions", summary="List the stored writes of documents")
async def versions(call: VersionsCall, state: State, key: Reader) -> VersionsBody:
    """Return every stored write, of all tenants that the key reaches where none is named."""
    tenant = _tenant(state, key, call.tenant)
    async with _index(state, key) as index:
        return VersionsBody(versions=await index.versions(tenant=tenant))


@router.post("/incomplete", summary="Find documents whose chunks are not all there")
async def incomplete(call: RecordsBody, state: State, key: Reader) -> RecordsBody:
    """Return those of these records that are still stored, and not all of their chunks are."""
    async with _index(state, key, *_tenants(call.records)) as index:
        return RecordsBody(records=await index.incomplete(call.records))


@router.post("/commit", summary="Store documents with their vectors")
async def commit(call: CommitCall, state: State, key: Writer) -> DoneBody:
    """Store documents, each as its new current version."""
    entries = [body.entry() for body in call.entries]
    async with _index(state, key, *_tenants(entry.record for entry in entries)) as index:
        await index.commit(entries)
    return DoneBody()


@router.post("/touch", summary="Overwrite records")
async def touch(call: RecordsBody, state: State, key: Writer) -> DoneBody:
    """Overwrite records whose version of the document is still the stored one."""
    async with _index(state, key, *_tenants(call.records)) as index:
        await index.touch(call.records)
    return DoneBody()


@router.post("/delete", summary="Remove documents")
async def delete(call: UrisCall, state: State, key: Writer) -> CountBody:
    """Remove documents, and return the number of those removed."""
    async with _index(state, key, call.tenant) as index:
        return CountBody(count=await index.delete(call.uris, tenant=call.tenant))


@router.post("/drop", summary="Remove what a stopped writer left")
async def drop(call: VersionsBody, state: State, key: Writer) -> DoneBody:
    """Remove the chunks of writes that no record names."""
    async with _index(state, key, *_tenants(call.versions)) as index:
        await index.drop(call.versions)
    return DoneBody()


@router.post("/discard", summary="Remove documents that have not changed")
async def discard(call: RecordsBody, state: State, key: Writer) -> CountBody:
    """Remove documents that are still as these records say."""
    async with _index(state, key, *_tenants(call.records)) as index:
        return CountBody(count=await index.discard(call.records))


@router.post("/optimize", summary="Make search fast after bulk loading")
async def optimize(call: DoneBody, state: State, key: Writer) -> DoneBody:
    """Build the structures that make search fast."""
    async with _index(state, key) as index:
        await index.optimize()
    return DoneBody()


@asynccontextmanager
async def _index(state: ServerState, key: ApiKey, *tenants: str) -> AsyncGenerator[Index]:
    """Admit a call that concerns these tenants.

    Raises:
        ApiError: The key does not reach one of them (403), or the call is refused (429).
    """
    for tenant in tenants:
        _check_tenant(state, key, tenant)
    async with admitted(state, key):
        yield await state.rag.index()


def _tenant(state: ServerState, key: ApiKey, tenant: str | None) -> str | None:
    """Return a call's tenant; None, which means all, becomes that of the key if there are keys."""
    if tenant is not None:
        _check_tenant(state, key, tenant)
        return tenant
    return None if state.gate.is_open else key.tenant


def _tenants(items: Iterable[DocumentRecord | StoredVersion]) -> set[str]:
    return {item.tenant for item in items}


def _check_tenant(state: ServerState, key: ApiKey, tenant: str) -> None:
    if tenant != key.tenant and not state.gate.is_open:
        raise ApiError(403, f"The key belongs to the tenant {key.tenant!r}.", code=WRONG_TENANT)
