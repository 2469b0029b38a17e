"""Embedders and rerankers on a server: an emulated one, and a real vLLM with the packaged model."""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import numpy as np
import pytest

from ragkit.core.errors import ConfigError, ContextExceeded, InputError, ProviderError
from ragkit.core.operation import Observer, Operation, add_observer, remove_observer
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings, RerankerSettings
from ragkit.core.types import Json
from ragkit.models.build import build_embedder, build_reranker
from ragkit.models.packaged import packaged_folder
from ragkit.models.server import (
    EstimatedTokenizer,
    ModelServer,
    ScoresBody,
    ServedModelsBody,
    VectorsBody,
)
from ragkit.testing import EmbedderContract, HashEmbedder
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    served_models,
)
from ragkit.testing.vllm_server import VLLMServer, free_port, launch, missing, stop, wait

DOUBLE = HashEmbedder(dimensions=64, max_tokens=10_000)


def texts_of(request: ServerRequest, name: str) -> list[str]:
    found = request.body[name]
    assert isinstance(found, list)
    return [str(text) for text in found]


class PoolingServer:
    """Embeds with the double; fails the first `failing` requests of a path with a status."""

    def __init__(self, *, failing: int = 0, status: int = 503, said: str = "busy") -> None:
        self.failing = failing
        self.status = status
        self.said = said
        self.sizes: list[int] = []

    def __call__(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", "n", context=40)
        if self.failing:
            self.failing -= 1
            return ServerResponse(status=self.status, body={"error": self.said})
        if request.path == "/v1/rerank":
            documents = texts_of(request, "documents")
            scores: list[Json] = [
                {"index": place, "relevance_score": float(len(text))}
                for place, text in reversed(list(enumerate(documents)))
            ]
            return ServerResponse(body={"results": scores, "usage": {"total_tokens": 9}})
        texts = texts_of(request, "input")
        self.sizes.append(len(texts))
        data: list[Json] = [
            {"index": place, "embedding": embedded(text)} for place, text in enumerate(texts)
        ]
        return ServerResponse(body={"data": data[::-1], "usage": {"total_tokens": 7}})


def embedded(text: str) -> list[Json]:
    coroutine = DOUBLE.embed([text])
    try:
        coroutine.send(None)
    except StopIteration as done:
        return [float(value) for value in done.value[0]]
    raise AssertionError("the double waited")


@pytest.fixture
def pooling() -> PoolingServer:
    return PoolingServer()


@pytest.fixture
async def server(pooling: PoolingServer) -> AsyncIterator[EmulatedModelServer]:
    async with EmulatedModelServer(pooling) as server:
        yield server


def embedder_at(url: str, **settings: object) -> Embedder:
    return build_embedder(EmbedderSettings.model_validate({"model": f"vllm:{url}", **settings}))


class SeenCalls(Observer):
    """The calls of embedding and reranking servers that have ended."""

    def __init__(self) -> None:
        self.calls: list[Operation] = []

    def ended(self, operation: Operation) -> None:
        if operation.kind == "pooling call":
            self.calls.append(operation)


@pytest.fixture
def seen() -> Iterator[SeenCalls]:
    observer = SeenCalls()
    add_observer(observer)
    yield observer
    remove_observer(observer)


async def test_every_call_is_seen_with_its_model_and_its_tokens(
    server: EmulatedModelServer, pooling: PoolingServer, seen: SeenCalls
) -> None:
    await embedder_at(f"{server.url}#n", batch_size=2).embed(["a", "b", "c"], task="passage")
    reranker = build_reranker(RerankerSettings(model=f"vllm:{server.url}#n"))
    assert reranker is not None
    await reranker.rerank("q", ["a"])
    # One more than the three: the embedder measures its dimensions first.
    assert [call.facts["prompt_tokens"] for call in seen.calls] == [7, 7, 7, 9]
    assert {call.name for call in seen.calls} == {"n"}
    pooling.failing, pooling.status = 9, 400
    with pytest.raises(InputError):
        await reranker.rerank("q", ["a"])
    assert "prompt_tokens" not in seen.calls[-1].facts


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [('{"total_tokens": 3}', 3), ('{"total_tokens": null}', 0), ("{}", 0), ("null", 0)],
)
def test_a_server_that_does_not_say_its_tokens_is_read_all_the_same(
    usage: str, tokens: int
) -> None:
    assert VectorsBody.model_validate_json(f'{{"data": [], "usage": {usage}}}').tokens == tokens
    assert VectorsBody.model_validate_json('{"data": []}').tokens == 0


async def test_vectors_come_in_the_order_of_the_texts(
    server: EmulatedModelServer, pooling: PoolingServer
) -> None:
    texts = [f"text number {number}" for number in range(50)]
    vectors = await embedder_at(server.url, batch_size=8).embed(texts)
    np.testing.assert_allclose(vectors, await DOUBLE.embed(texts), atol=1e-6)
    assert sorted(pooling.sizes, reverse=True) == [8, 8, 8, 8, 8, 8, 2, 1]  # the last asks facts


async def test_the_facts_are_the_served_model_s(server: EmulatedModelServer) -> None:
    embedder = embedder_at(f"{server.url}/v1/#n", query_prompt="q: ", passage_prompt="p: ")
    await embedder.embed([])
    assert embedder.identity == ("n", "vllm")
    assert embedder.dimensions == 64
    assert embedder.tokenizer.max_tokens == 40 - 2 - 2
    assert all(request.body["model"] == "n" for request in server.requests[1:])


async def test_a_prompt_goes_before_each_text_and_a_prefix_is_cut(
    server: EmulatedModelServer,
) -> None:
    embedder = embedder_at(server.url, query_prompt="question: ", dimensions=16)
    vectors = await embedder.embed(["wolf"], task="query")
    expected = (await DOUBLE.embed(["question: wolf"]))[:, :16]
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected), atol=1e-6)


async def test_a_text_is_cut_after_the_tokens_that_are_counted(
    server: EmulatedModelServer,
) -> None:
    embedder = embedder_at(server.url)
    cut: list[tuple[int, int]] = []
    long = "wolf " * 30
    await embedder.embed([long], on_truncated=lambda at, tokens: cut.append((at, tokens)))
    assert cut == [(0, 60)]
    sent = texts_of(server.requests[-1], "input")[0]
    assert sent == "wolf " * 19


@pytest.mark.parametrize("failing", [1, 3])
async def test_a_busy_server_is_asked_again(
    failing: int, server: EmulatedModelServer, pooling: PoolingServer
) -> None:
    pooling.failing = failing
    assert (await embedder_at(server.url).embed(["wolf"])).shape == (1, 64)


async def test_failures_are_reported_with_the_fix() -> None:
    for status, said, kind, message in (
        (503, "busy", ProviderError, "status 503"),
        (401, "who?", ProviderError, r"Fix: set api_key\."),
        (404, "none", ProviderError, "Fix: serve a pooling model"),
        (400, "bad input", InputError, "rejected the request"),
        (400, "maximum context length is 40", ContextExceeded, "rejected the request"),
    ):
        pooling = PoolingServer(failing=99, status=status, said=said)
        async with EmulatedModelServer(pooling) as server:
            with pytest.raises(kind, match=message):
                await embedder_at(server.url).embed(["wolf"])
    with pytest.raises(ProviderError, match=r"Fix: start the server, or correct the URL\."):
        await embedder_at(f"http://127.0.0.1:{free_port()}").embed(["wolf"])


async def test_a_wrong_number_of_vectors_is_an_error() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", context=40)
        return ServerResponse(body={"data": [], "results": []})

    async with EmulatedModelServer(respond) as server:
        with pytest.raises(ProviderError, match="returned 0 vectors for 1 texts"):
            await embedder_at(server.url).embed(["wolf"])
        reranker = build_reranker(RerankerSettings(model=f"vllm:{server.url}"))
        assert reranker is not None
        with pytest.raises(ProviderError, match="returned 0 scores for 1 passages"):
            await reranker.rerank("q", ["wolf"])


async def test_scores_come_in_the_order_of_the_passages(server: EmulatedModelServer) -> None:
    reranker = build_reranker(RerankerSettings(model=f"vllm:{server.url}"))
    assert reranker is not None
    scores = await reranker.rerank("q", ["a", "ccc", "bb"])
    assert scores.tolist() == [1, 3, 2]
    assert scores.dtype == np.float32
    assert (await reranker.rerank("q", [])).shape == (0,)


async def test_a_server_without_rerank_is_asked_by_score(caplog: pytest.LogCaptureFixture) -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", context=40)
        if request.path != "/v1/score":
            return ServerResponse(status=404, body={"error": "Not Found"})
        assert request.body["text_1"] == "q"
        scores: list[Json] = [
            {"index": place, "score": float(len(text))}
            for place, text in reversed(list(enumerate(texts_of(request, "text_2"))))
        ]
        return ServerResponse(body={"data": scores})

    async with EmulatedModelServer(respond) as server:
        reranker = build_reranker(RerankerSettings(model=f"vllm:{server.url}"))
        assert reranker is not None
        for _ in range(2):
            assert (await reranker.rerank("q", ["a", "ccc", "日本"])).tolist() == [1, 3, 2]
        paths = [request.path for request in server.requests]
        assert paths == ["/v1/models", "/v1/rerank", "/v1/score", "/v1/score"]
    assert caplog.text.count("has no /v1/rerank") == 1


async def test_a_server_with_neither_says_what_to_serve() -> None:
    pooling = PoolingServer(failing=99, status=404, said="none")
    async with EmulatedModelServer(pooling) as server:
        reranker = build_reranker(RerankerSettings(model=f"vllm:{server.url}"))
        assert reranker is not None
        with pytest.raises(ProviderError, match="Fix: serve a pooling model"):
            await reranker.rerank("q", ["a"])


async def test_a_model_that_is_not_served_is_named(server: EmulatedModelServer) -> None:
    with pytest.raises(ConfigError, match=r"does not serve 'x'\. Fix: use one of 'm', 'n'"):
        await embedder_at(f"{server.url}#x").embed(["wolf"])


async def test_a_response_that_cannot_be_read_is_reported() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        return ServerResponse(body={"data": "nothing"})

    async with EmulatedModelServer(respond) as server:
        made = ModelServer(server.url, api_key="sesame", timeout_s=5)
        with pytest.raises(ProviderError, match="is broken") as broken:
            await asyncio.to_thread(made.fetch, ServedModelsBody, "GET", "/v1/models")
        assert server.requests[0].headers["authorization"] == "Bearer sesame"
        assert "sesame" not in str(broken.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", r"'localhost:8000' is not a URL\. Fix: write it as"),
        ("http://h:port", r"has a port that is no number\. Fix: correct it"),
    ],
)
def test_what_is_not_a_url_is_named(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        embedder_at(url)


def test_an_estimated_token_is_three_letters_a_digit_or_another_character() -> None:
    tokenizer = EstimatedTokenizer(max_tokens=9)
    assert tokenizer.token_starts("wolves, 42 狼") == [0, 3, 6, 8, 9, 11]
    assert tokenizer.token_starts("") == []


@pytest.fixture(scope="module")
def minilm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    """A real vLLM server on the CPU with the packaged embedding model."""
    if reason := missing():
        pytest.skip(reason)
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    arguments: Sequence[str] = (
        *("--runner", "pooling", "--max-model-len", "256"),
        "--no-enable-prefix-caching",  # an encoder has no cache, which vLLM 0.32 dies of
    )
    server = launch(packaged_folder(), log, port=free_port(), arguments=arguments)
    try:
        wait(server)
        yield server
    finally:
        stop(server)


@functools.cache
def served(url: str, dimensions: int | None, query_prompt: str, passage_prompt: str) -> Embedder:
    return embedder_at(
        url, dimensions=dimensions, query_prompt=query_prompt, passage_prompt=passage_prompt
    )


class TestRealServer(EmbedderContract):
    prefix_dimensions = 64
    url = ""

    @pytest.fixture(autouse=True)
    def _server(self, minilm_server: VLLMServer) -> None:
        TestRealServer.url = minilm_server.url

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> Embedder:
        return served(self.url, dimensions, query_prompt, passage_prompt)

    async def test_vectors_are_near_those_in_this_process(self) -> None:
        texts = ["The wolf hunts in packs at night.", "Interest rates rose.", "a", "wolf " * 300]
        local = build_embedder(EmbedderSettings(rotation=None))
        ours, theirs = await local.embed(texts), await self.make_embedder().embed(texts)
        assert ((ours * theirs).sum(axis=1) > 0.99).all()

    async def test_a_passage_about_the_query_has_the_higher_score(self) -> None:
        reranker = build_reranker(RerankerSettings(model=f"vllm:{self.url}"))
        assert reranker is not None
        passages = ["The stock exchange closed.", "The wolf hunts at night."]
        scores = await reranker.rerank("Which animal hunts?", passages)
        assert scores[1] > scores[0]
        server = ModelServer(self.url, api_key=None, timeout_s=60)
        pairs: dict[str, Json] = {"text_1": "Which animal hunts?", "text_2": list(passages)}
        body = {"model": server.model.id, **pairs}
        found = await asyncio.to_thread(server.fetch, ScoresBody, "POST", "/v1/score", body)
        by_score = [one.score for one in sorted(found.data, key=lambda one: one.index)]
        np.testing.assert_allclose(by_score, scores, rtol=1e-3)

    def test_the_server_is_a_vllm(self) -> None:
        assert httpx.get(f"{self.url}/version", timeout=60).json()["version"]
