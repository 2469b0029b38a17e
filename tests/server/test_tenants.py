"""A key of one tenant against every endpoint, with what another tenant has, in every role.

The endpoints are those of the OpenAPI description, so that a new one cannot be forgotten.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from ragkit.core.protocols import Entry, Index, StoredVersion
from ragkit.core.settings import AnswerSettings, Settings
from ragkit.core.types import Chunk, Document, DocumentRecord
from ragkit.index.remote_wire import CommitCall, EntryBody, RecordsBody, VectorRows, VersionsBody
from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions
from ragkit.server.keys import KeyFile, Role
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.server import SECRET, RunningServer, running_server

OTHER, URI = "other", "secret.md"
QUESTION = "What is the password?"
FILTERS = (None, 'uri == "secret.md"', 'not (uri == "rivers.md")')
Requests: TypeAlias = Sequence[dict[str, Any]]
"""Arguments of `httpx.AsyncClient.request`."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The document of the other tenant, and the job that would have brought it."""

    record: DocumentRecord
    chunks: Sequence[Chunk]
    vectors: VectorRows
    versions: Sequence[StoredVersion]
    job: str

    @property
    def traces(self) -> list[str]:
        """Texts that may stand in no reply, unless the request had them."""
        ids = [chunk.id for chunk in self.chunks]
        known = self.record
        vector = self.vectors.model_dump(mode="json")["data"]
        return [URI, *ids, known.content_hash, known.generation, "swordfish", vector, self.job]

    @property
    def entry(self) -> Entry:
        """The document, ready to commit."""
        return Entry(record=self.record, chunks=tuple(self.chunks), vectors=self.vectors.array())

    @classmethod
    async def read(cls, index: Index, job: str) -> "Target":
        """Read it as it is now."""
        (record,) = await index.records([URI], tenant=OTHER)
        chunks = await index.chunks([URI], tenant=OTHER)
        vectors = await index.vectors([chunk.id for chunk in chunks], tenant=OTHER)
        versions = await index.versions(tenant=OTHER)
        rows = VectorRows.of(vectors)
        return cls(record=record, chunks=chunks, vectors=rows, versions=versions, job=job)


def sent(body: BaseModel) -> dict[str, Any]:
    """Arguments of a request with this body."""
    return {"json": body.model_dump(mode="json", by_alias=True)}


def document_attempts(target: Target) -> Mapping[str, Requests]:
    """Requests for the other tenant's document and job, by method and path."""
    asked = {"messages": [{"role": "user", "content": QUESTION}], "model": "rag"}
    extension = [{"hits": True, "k": 100, "where": where} for where in FILTERS]
    of_uri = [{"params": {"uri": URI}}]
    searches = [{"where": where, "k": 1000, "explain": True} for where in FILTERS]
    return {
        "GET /healthz": [{}],
        "GET /readyz": [{}],
        "GET /metrics": [{}],
        "GET /v1/models": [{}],
        "GET /v1/models/{name}": [{"name": "rag"}, {"name": f"rag-{OTHER}"}],
        "POST /v1/chat/completions": [
            {"json": {**asked, "stream": stream, "ragkit": one}}
            for stream in (False, True)
            for one in extension
        ],
        "POST /v1/responses": [
            {"json": {"input": QUESTION, "model": "rag", "stream": stream, "ragkit": one}}
            for stream in (False, True)
            for one in extension
        ],
        "POST /v1/search": [
            *({"json": {"query": QUESTION, "neighbours": 10, **one}} for one in searches),
            {"json": {"query": QUESTION, "collection": OTHER}},
            {"json": {"query": QUESTION, "tenant": OTHER}},
        ],
        "POST /v1/embeddings": [{"json": {"model": "m", "input": QUESTION}}],
        "POST /v1/rerank": [{"json": {"query": QUESTION, "documents": ["a"]}}],
        "POST /v1/eval": [
            {"json": {"questions": [{"question": QUESTION, "relevant": [URI], "answers": ["x"]}]}}
        ],
        "GET /v1/documents": [{}, {"params": {"after": "secret"}}],
        "GET /v1/documents/text": of_uri,
        "GET /v1/documents/chunks": of_uri,
        "DELETE /v1/documents": of_uri,
        "GET /v1/jobs": [{}],
        "GET /v1/jobs/{name}": [{"name": target.job}, {"name": f"../jobs/{target.job}"}],
        "GET /v1/jobs/{name}/events": [{"name": target.job}],
        "POST /v1/documents": [{"files": {"files": (URI, b"Mine has this name too.")}}],
    }


def index_attempts(target: Target) -> Mapping[str, Requests]:
    """Calls of the index: for the other tenant, and for one's own with what the other has."""
    ids, tenants = [chunk.id for chunk in target.chunks], (OTHER, "default", "")
    entry = target.entry
    mine = [replace(target.record, tenant=tenant) for tenant in (OTHER, "default")]
    records = [sent(RecordsBody(records=[one])) for one in mine]
    versions = [replace(one, tenant=t) for one in target.versions for t in (OTHER, "default")]
    of_ids = [{"json": {"ids": ids, "tenant": tenant}} for tenant in tenants]
    of_uris = [{"json": {"uris": [URI], "tenant": tenant}} for tenant in tenants]
    every = [{"json": {"tenant": tenant}} for tenant in (*tenants, None)]
    forged = [EntryBody.of(replace(entry, record=record)) for record in mine]
    return {
        "GET /v1/index": [{}],
        "POST /v1/index/search": [
            {"json": {"text": "swordfish", "depth": 100, "tenant": tenant}} for tenant in tenants
        ],
        "POST /v1/index/fetch": of_ids,
        "POST /v1/index/chunks": of_uris,
        "POST /v1/index/vectors": of_ids,
        "POST /v1/index/records": [*of_uris, *every],
        "POST /v1/index/versions": every,
        "POST /v1/index/incomplete": records,
        "POST /v1/index/commit": [sent(CommitCall(entries=[one])) for one in forged],
        "POST /v1/index/touch": records,
        "POST /v1/index/delete": of_uris,
        "POST /v1/index/drop": [sent(VersionsBody(versions=[one])) for one in versions],
        "POST /v1/index/discard": records,
        "POST /v1/index/optimize": [{"json": {}}],
    }


@pytest.fixture(name="shared")
async def _shared(tmp_path: Path, keys: KeyFile) -> AsyncIterator[tuple[RunningServer, AsyncRAG]]:
    """A server over an embedded index of two tenants."""
    settings = Settings(answer=AnswerSettings(mode="extractive", threshold=0.0))
    rag = AsyncRAG(settings, index=tmp_path / "index", embedder=HashEmbedder())
    await rag.ingest(Document.from_text("The Volga is long.", uri="rivers.md"))
    options = ServerOptions(folder=tmp_path / "server", keys=keys)
    async with running_server(tmp_path, options=options, rag=rag) as server:
        yield server, rag


async def test_every_endpoint_is_tried_below(server: RunningServer) -> None:
    paths = server.app.openapi()["paths"]
    found = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    record = DocumentRecord(
        uri="", tenant="", title="", content_hash="", pipeline="", chunks=0, generation=""
    )
    empty = VectorRows(rows=0, dimensions=1, data=b"")
    target = Target(record=record, chunks=(), vectors=empty, versions=(), job="j")
    assert found == {*document_attempts(target), *index_attempts(target)}


@pytest.mark.parametrize("role", ["read", "write", "admin"])
async def test_no_endpoint_reads_or_changes_what_another_tenant_has(
    shared: tuple[RunningServer, AsyncRAG], keys: KeyFile, role: Role
) -> None:
    server, rag = shared
    owner = {"Authorization": f"Bearer {keys.add('o', tenant=OTHER, role='write')}"}
    upload = {"files": (URI, SECRET.encode())}
    job = (await server.http.post("/v1/documents", files=upload, headers=owner)).json()["id"]
    await server.until_done(job, **owner)
    target = await Target.read(await rag.index(), job)
    stranger = {"Authorization": f"Bearer {keys.add('s', tenant='default', role=role)}"}
    attempts = {**index_attempts(target), **document_attempts(target)}
    for endpoint, requests in attempts.items():
        method, _, path = endpoint.partition(" ")
        for given in requests:
            url = path.replace("{name}", given.get("name", ""))
            arguments = {name: value for name, value in given.items() if name != "name"}
            reply = await server.http.request(method, url, headers=stranger, **arguments)
            said = f"{url} {json.dumps(arguments, default=str)}"
            leaked = [text for text in target.traces if text in reply.text and text not in said]
            assert not leaked, (endpoint, given, reply.text)
            assert reply.status_code != 500, (endpoint, given, reply.text)
    assert await Target.read(await rag.index(), job) == target
    for mine in (await server.http.get("/v1/jobs", headers=stranger)).json()["data"]:
        await server.until_done(mine["id"], **stranger)
    assert await Target.read(await rag.index(), job) == target
    text = await server.http.get("/v1/documents/text", params={"uri": URI}, headers=owner)
    assert text.text == SECRET
    assert (await server.http.get(f"/v1/jobs/{job}", headers=owner)).json()["state"] == "done"
