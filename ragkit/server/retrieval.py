"""`POST /v1/search`, `/v1/embeddings` and `/v1/rerank`."""

import base64
import math
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from ragkit.core.types import FloatArray, Usage
from ragkit.server.bodies import EmbeddingsBody, RerankBody, SearchBody
from ragkit.server.chat import REPLY_TOKENS
from ragkit.server.citations import hit_json
from ragkit.server.errors import ApiError
from ragkit.server.lifetime import while_connected
from ragkit.server.state import Reader, State, admitted

router = APIRouter(tags=["retrieval"])

CHARS_PER_TOKEN = 4
"""Characters of a token, where texts are only estimated."""


@router.post("/v1/search", summary="Search the documents")
async def search(body: SearchBody, request: Request, state: State, key: Reader) -> dict[str, Any]:
    """Return the passages that fit a query best; `explain` adds every candidate of every stage."""
    rag = state.rags.get(body.collection or "")
    if rag is None:
        raise ApiError(
            404,
            f"No collection {body.collection!r}.",
            code="collection_not_found",
            param="collection",
        )
    tokens = _estimate(body.query)
    writes = body.transform is not None and body.transform != "feedback"
    expected = Usage(prompt=tokens, completion=REPLY_TOKENS) if writes else None
    async with admitted(state, key, tokens=tokens, expected=expected):
        options = body.options(tenant=key.tenant, k=body.k, explain=body.explain)
        found = rag.search(body.query, **options)
        hits = await while_connected(request, found, seconds=state.request_seconds)
    response: dict[str, Any] = {"query": body.query, "hits": [hit_json(hit) for hit in hits]}
    if hits.explanation is not None:
        response["explanation"] = {
            stage: [{"id": chunk, "rank": rank, "score": score} for chunk, rank, score in ranked]
            for stage, ranked in hits.explanation.stages.items()
        }
    return response


@router.post("/v1/embeddings", summary="Embed texts")
async def embeddings(
    body: EmbeddingsBody, request: Request, state: State, key: Reader
) -> dict[str, Any]:
    """Return a unit vector for each text; `dimensions` keeps a Matryoshka prefix."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    embedder = state.rag.embedder
    if body.dimensions is not None and body.dimensions > embedder.dimensions:
        raise ApiError(
            400,
            f"dimensions is {body.dimensions}, and the model has {embedder.dimensions}.",
            code="invalid_value",
            param="dimensions",
        )
    tokens = sum(map(_estimate, texts))
    async with admitted(state, key, tokens=tokens) as admission:
        embedded = embedder.embed(texts, task=body.input_type)
        vectors = await while_connected(request, embedded, seconds=state.request_seconds)
        admission.used = tokens
    if body.dimensions is not None:
        vectors = _prefixes(vectors, body.dimensions)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(row, body.encoding_format)}
        for index, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.model, "usage": usage}


@router.post("/v1/rerank", summary="Rank documents by a query")
async def rerank(body: RerankBody, request: Request, state: State, key: Reader) -> dict[str, Any]:
    """Return the given documents, those that fit the query best first."""
    reranker = state.rag.reranker
    if reranker is None:
        raise ApiError(
            503,
            "No reranker is configured: the server sets reranker.model.",
            code="not_configured",
        )
    tokens = sum(map(_estimate, body.documents))
    async with admitted(state, key, tokens=tokens):
        ranked = reranker.rerank(body.query, body.documents)
        scores = await while_connected(request, ranked, seconds=state.request_seconds)
    order = sorted(range(len(scores)), key=lambda index: -float(scores[index]))
    results: list[dict[str, Any]] = []
    for index in order[: body.top_n]:
        entry: dict[str, Any] = {"index": index, "relevance_score": float(scores[index])}
        if body.return_documents:
            entry["document"] = {"text": body.documents[index]}
        results.append(entry)
    return {"model": body.model or "reranker", "results": results}


def _estimate(text: str) -> int:
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def _prefixes(vectors: FloatArray, dimensions: int) -> FloatArray:
    short = vectors[:, :dimensions]
    norms = np.linalg.norm(short, axis=1, keepdims=True)
    unit: FloatArray = (short / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit


def _encoded(row: FloatArray, form: str) -> list[float] | str:
    if form == "float":
        return [float(value) for value in row]
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
