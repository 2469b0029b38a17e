import base64

import numpy as np

from ragkit.testing.server import RunningServer


async def test_a_search_has_ranks_and_explains_itself_on_request(server: RunningServer) -> None:
    sent = {"query": "deepest lake", "k": 1, "explain": True}
    found = (await server.http.post("/v1/search", json=sent)).json()
    (hit,) = found["hits"]
    assert hit["uri"] == "lakes.md"
    assert {"dense", "bm25", "fusion"} <= set(hit["trace"])
    assert set(found["explanation"]) >= {"dense", "bm25"}
    plain = (await server.http.post("/v1/search", json={"query": "lake"})).json()
    assert "explanation" not in plain


async def test_a_search_takes_the_options_of_the_sdk_and_refuses_others(
    server: RunningServer,
) -> None:
    sent = {"query": "deepest lake", "legs": ["bm25"], "fusion": "rrf", "neighbours": 1}
    found = (await server.http.post("/v1/search", json=sent)).json()
    assert "dense" not in found["hits"][0]["trace"]
    for wrong in ({"leg": ["bm25"]}, {"legs": ["dense", "words"]}, {"tenant": "other"}):
        refused = await server.http.post("/v1/search", json={"query": "x", **wrong})
        assert refused.status_code == 400
        assert next(iter(wrong)) in refused.json()["error"]["param"]


async def test_a_collection_that_is_not_there_is_404(server: RunningServer) -> None:
    response = await server.http.post("/v1/search", json={"query": "x", "collection": "nope"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "collection_not_found"


async def test_embeddings_are_unit_vectors_in_both_encodings(server: RunningServer) -> None:
    sent = {"model": "m", "input": ["a river", "ein Fluß 河"], "dimensions": 16}
    data = (await server.http.post("/v1/embeddings", json=sent)).json()["data"]
    vectors = np.array([row["embedding"] for row in data])
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    sent["encoding_format"] = "base64"
    coded = (await server.http.post("/v1/embeddings", json=sent)).json()["data"]
    decoded = np.array([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in coded])
    np.testing.assert_allclose(decoded, vectors, atol=1e-6)


async def test_more_dimensions_than_the_model_has_are_refused(server: RunningServer) -> None:
    sent = {"model": "m", "input": "x", "dimensions": 65}
    response = await server.http.post("/v1/embeddings", json=sent)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "dimensions"


async def test_without_a_reranker_reranking_says_so(server: RunningServer) -> None:
    sent = {"query": "q", "documents": ["a"]}
    response = await server.http.post("/v1/rerank", json=sent)
    assert response.status_code == 503
    assert "reranker.model" in response.json()["error"]["message"]
