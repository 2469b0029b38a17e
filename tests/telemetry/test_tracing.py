import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from ragkit import RAG, AsyncRAG, Settings
from ragkit.agents import react, run
from ragkit.core.errors import InputError
from ragkit.core.operation import Operation, trace_headers
from ragkit.core.secrets import Secrets
from ragkit.core.settings import EmbedderSettings, IndexSettings, RetrievalSettings
from ragkit.core.types import FloatArray, Json
from ragkit.grammar import json_grammar
from ragkit.index.remote import RemoteIndex
from ragkit.llm import VLLM
from ragkit.llm.wrappers.cache import Cache
from ragkit.llm.wrappers.retry import Retry
from ragkit.models.build import build_embedder
from ragkit.server.app import ServerOptions, build_app
from ragkit.testing import (
    EmulatedModelServer,
    HashEmbedder,
    RecordingTool,
    ScriptedLLM,
    says_action,
)
from ragkit.testing.agents import says_finish
from ragkit.testing.model_server import (
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)
from ragkit.testing.server import filled_rag, running_server
from tests.telemetry.conftest import Traced

QUESTION = "Which river is the longest?"
TRACE = "0af7651916cd43dd8448eb211c80319c"
VOLGA = json.dumps(
    {
        "quotes": [{"passage": "1", "quote": "The longest river of Europe is the Volga."}],
        "sufficient": True,
        "answer": "The Volga.",
        "citations": ["1"],
    },
    separators=(",", ":"),
)
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


async def test_a_search_has_a_span_for_every_stage(traced: Traced) -> None:
    rag = await filled_rag()
    spans = traced()
    await rag.search(QUESTION)
    assert spans.tree() == [
        "retrieval",
        "  embeddings embed",
        "  search stage search",
        "  search stage fusion",
        "  search stage fetch",
    ]
    assert spans.named("retrieval").attributes == {
        "gen_ai.operation.name": "retrieval",
        "ragkit.retrieval.hits": 2,
    }


async def test_an_answer_holds_its_search_and_its_model_call(traced: Traced) -> None:
    rag = await filled_rag(ScriptedLLM([VOLGA]))
    spans = traced()
    answer = await rag.ask(QUESTION, mode="generative")
    assert not answer.abstained
    tree = spans.tree()
    assert tree[0] == "invoke_workflow"
    assert "  retrieval" in tree
    assert "  chat scripted" in tree
    call = spans.named("chat scripted").attributes or {}
    assert call["gen_ai.request.model"] == "scripted"
    assert call["gen_ai.usage.output_tokens"] == answer.usage.completion
    assert call["gen_ai.response.finish_reasons"] == ("stop",)


async def test_an_agent_s_steps_tools_and_calls_are_below_it(traced: Traced) -> None:
    tool = RecordingTool(name="look")
    llm = ScriptedLLM([says_action("I look.", ("look", {"text": "x"})), says_finish("Done.")])
    spans = traced()
    await run(react(llm, [tool]), "What is x?")
    assert [line for line in spans.tree() if "grammar" not in line] == [
        "invoke_agent react",
        "  agent step react",
        "    chat scripted",
        "  execute_tool look",
        "  agent step react",
        "    chat scripted",
    ]
    assert (spans.named("execute_tool look").attributes or {})["gen_ai.tool.name"] == "look"


async def test_the_names_of_openinference_by_choice(traced: Traced) -> None:
    rag = await filled_rag()
    spans = traced(names="openinference", content=True)
    await rag.search(QUESTION, k=1)
    found = spans.named("retrieval").attributes or {}
    assert found["openinference.span.kind"] == "RETRIEVER"
    assert found["input.value"] == QUESTION
    assert "Volga" in str(found["retrieval.documents.0.document.content"])
    assert found["retrieval.documents.0.document.metadata"] == '{"uri": "rivers.md"}'
    assert not [name for name in found if name.startswith("gen_ai.")]


async def test_no_text_is_recorded_unless_asked_for(traced: Traced) -> None:
    tool = RecordingTool(name="look", does=lambda _: "MARK-result")
    llm = ScriptedLLM(
        [says_action("MARK-thought", ("look", {"text": "MARK-argument"})), says_finish("MARK-end")]
    )
    silent, telling = traced(names="both"), traced(names="both", content=True)
    rag = await filled_rag()
    await rag.ask("MARK-question")
    with pytest.raises(InputError):
        await rag.search("x", where="MARK-field > ")
    await run(react(llm, [tool]), "MARK-task")
    assert "MARK" not in silent.text()
    assert "Volga" not in silent.text()
    for mark in ("question", "field", "task", "thought", "argument", "result", "end"):
        assert f"MARK-{mark}" in telling.text(), mark


async def test_long_texts_are_cut_and_secrets_hidden(traced: Traced) -> None:
    spans = traced(content=True, content_chars=60)
    spans.tracing.hide(Secrets.of("MARK-key"))
    text = "http://user:MARK-password@host says MARK-key " + "é" * 1000
    operation = Operation(kind="answer", content={"question": lambda: text, "answer": lambda: None})
    with pytest.raises(ValueError, match="MARK"), operation:
        raise ValueError(text)
    assert "MARK" not in spans.text()
    found = spans.named("invoke_workflow")
    assert len(str((found.attributes or {})["ragkit.question"])) == 61
    assert found.status.status_code == StatusCode.ERROR
    assert (found.attributes or {})["error.type"] == "ValueError"


async def test_the_consumer_of_a_stream_is_not_inside_it(traced: Traced) -> None:
    spans = traced()
    outside = trace.get_current_span()
    async for _ in ScriptedLLM(["a reply of some length"]).stream("x"):
        assert trace.get_current_span() is outside
        with Operation(kind="grammar", name="build"):
            pass
    assert [line for line in spans.tree() if line.startswith(" ")] == []


async def test_a_stream_that_is_left_early_or_cancelled_ends_its_span(traced: Traced) -> None:
    spans = traced()
    deltas = ScriptedLLM(["a reply of some length"]).stream("x")
    await anext(deltas)
    await deltas.aclose()
    assert spans.named("chat scripted").status.status_code == StatusCode.UNSET
    waiting = asyncio.ensure_future(_never())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (spans.named("execute_tool never").attributes or {})["error.type"] == "cancelled"


async def _never() -> None:
    with Operation(kind="tool", name="never"):
        await asyncio.Event().wait()


async def test_searches_at_the_same_time_have_traces_of_their_own(traced: Traced) -> None:
    rag = await filled_rag()
    spans = traced()
    await asyncio.gather(*(rag.search(f"river {number}") for number in range(8)))
    roots = [span for span in spans.all() if span.name == "retrieval"]
    assert len({span.context.trace_id for span in roots if span.context}) == 8
    assert all(span.parent is None for span in roots)
    assert len(spans.all()) == 8 * 5


def test_the_synchronous_api_keeps_the_caller_s_span(traced: Traced) -> None:
    spans = traced()
    with RAG(Settings(), index=":memory:", embedder=HashEmbedder()) as rag:
        rag.ingest(("a.md", "A river."))
        with Operation(kind="answer", name="mine"):
            rag.search("river")
    tree = spans.tree()
    assert tree[tree.index("invoke_workflow mine") + 1] == "  retrieval"


def test_a_thread_without_a_context_begins_a_trace(traced: Traced) -> None:
    spans = traced()

    def work() -> None:
        with Operation(kind="grammar", name="build"):
            pass

    with Operation(kind="answer"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert spans.named("grammar build").parent is None


async def test_an_ingestion_has_spans_for_its_stages(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "MARK.md").write_text("# A river\n\nIt flows.")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    spans = traced()
    async with AsyncRAG(Settings(), index=":memory:", embedder=HashEmbedder()) as rag:
        report = await rag.ingest(tmp_path)
    assert len(report.failed) == 1
    assert spans.tree() == [
        "ingestion",
        "  ingestion stage prepare",
        "  ingestion stage prepare",
        "  embeddings embed",
        "  ingestion stage commit",
        "  ingestion stage optimize",
    ]
    found = spans.named("ingestion").attributes or {}
    assert found["ragkit.documents.added"] == 1
    assert found["ragkit.documents.failed"] == 1
    assert "MARK" not in spans.text()


async def test_wrappers_add_no_spans_and_a_cache_says_that_it_hit(traced: Traced) -> None:
    spans = traced()
    llm = Cache(Retry(ScriptedLLM(["one", "two"])))
    first = await llm.complete("x", temperature=0)
    second = await llm.complete("x", temperature=0)
    assert first.text == second.text
    assert [span.name for span in spans.all()] == ["chat scripted", "chat scripted"]
    assert (spans.all()[1].attributes or {})["ragkit.cache.hit"] is True


async def test_building_a_grammar_is_a_span_once(traced: Traced) -> None:
    spans = traced()
    grammar = json_grammar({"type": "object", "properties": {"traced": {"type": "string"}}})
    grammar.wide().fit(10_000)
    names = [span.name for span in spans.all()]
    assert names
    assert set(names) == {"grammar build"}
    grammar.wide().fit(10_000)
    assert len(spans.all()) == len(names)


async def test_a_transformed_search_shows_each_query(traced: Traced) -> None:
    rag = await filled_rag()
    spans = traced()
    await rag.search("river", transform="feedback")
    lines = spans.tree()
    assert lines[:2] == ["retrieval", "  search stage feedback"]
    assert "  search stage query" in lines


async def test_a_request_s_trace_is_its_client_s(traced: Traced, tmp_path: Path) -> None:
    spans = traced()
    async with running_server(tmp_path) as server:
        headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
        body = {"model": "rag", "messages": [{"role": "user", "content": QUESTION}]}
        response = await server.http.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code == 200
    request = spans.named("request /v1/chat/completions")
    assert request.parent is not None
    assert f"{request.parent.trace_id:032x}" == TRACE
    tree = spans.tree()
    place = tree.index("request /v1/chat/completions")
    assert tree[place + 1 : place + 3] == ["  invoke_workflow", "    retrieval"]
    attributes = request.attributes or {}
    assert attributes["http.response.status_code"] == 200
    assert attributes["ragkit.request.id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "hostile",
    ["", "00", "x" * 100_000, f"00-{'0' * 32}-b7ad6b7169203331-01", "00-é-b7ad6b7169203331-01"],
)
async def test_a_request_with_a_bad_trace_begins_one(
    traced: Traced, tmp_path: Path, hostile: str
) -> None:
    spans = traced()
    async with running_server(tmp_path) as server:
        response = await server.http.get(
            "/healthz", headers=[(b"traceparent", hostile.encode()), (b"tracestate", b"=" * 9000)]
        )
        assert response.status_code == 200
    assert spans.named("request /healthz").parent is None


async def test_a_path_that_a_client_makes_up_is_no_name(traced: Traced, tmp_path: Path) -> None:
    spans = traced()
    async with running_server(tmp_path) as server:
        await server.http.get("/MARK-secret?key=MARK")
    assert "MARK" not in spans.text()


async def test_the_trace_is_passed_on_in_requests(traced: Traced) -> None:
    assert trace_headers() == {}
    traced()
    with Operation(kind="search") as operation:
        assert operation.place is not None
        sent = trace_headers()["traceparent"]
        version, *place, flags = sent.split("-")
        assert (version, int(flags, 16) & 1) == ("00", 1)  # recorded, whatever else the flags say
        assert place == [*operation.place]
    assert trace_headers() == {}


async def test_a_generator_that_fails_marks_its_span(traced: Traced) -> None:
    spans = traced()

    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise httpx.ConnectError("http://user:MARK@host")

    with pytest.raises(httpx.ConnectError):
        async for _ in Operation(kind="answer").watched(failing()):
            pass
    assert (spans.named("invoke_workflow").attributes or {})["error.type"] == "ConnectError"
    assert "MARK" not in spans.text()


async def test_a_reranked_search_has_its_reranker_s_kind(traced: Traced) -> None:
    spans = traced(names="openinference")
    rag = AsyncRAG(
        Settings(retrieval=RetrievalSettings(mmr_lambda=0.5)),
        index=":memory:",
        embedder=HashEmbedder(),
        reranker=_Lengths(),
    )
    await rag.ingest(("a.md", "A river."), ("b.md", "A long river."))
    await rag.search("river")
    found = spans.named("search stage rerank").attributes or {}
    assert found["openinference.span.kind"] == "RERANKER"
    assert spans.tree()[-1] == "  search stage mmr"


class _Lengths:
    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        return np.array([float(len(passage)) for passage in passages], dtype=np.float32)


async def test_model_servers_are_told_the_trace(traced: Traced) -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", context=4096)
        if request.path == "/v1/embeddings":
            vectors: list[Json] = [
                {"index": place, "embedding": [1.0, 0.0]}
                for place in range(len(cast("list[str]", request.body["input"])))
            ]
            return ServerResponse(body={"data": vectors})
        if request.path == "/tokenize":
            return ServerResponse(body={"tokens": [1], "token_strs": ["x"], "max_model_len": 40})
        return ServerResponse(events=chat_events("a", "b", model="m"))

    spans = traced()
    async with EmulatedModelServer(respond) as server, VLLM(server.url, "m") as llm:
        with Operation(kind="answer") as operation:
            await llm.complete("x")
            embedder = build_embedder(EmbedderSettings(model=f"vllm:{server.url}", batch_size=1))
            await embedder.embed(["a", "b", "c"])
    chat = spans.named("chat m")
    sent = {request.path: request.headers["traceparent"] for request in server.requests}
    assert operation.place is not None
    assert {one.split("-")[1] for one in sent.values()} == {operation.place.trace}
    assert chat.context is not None
    assert sent["/v1/chat/completions"].split("-")[2] == f"{chat.context.span_id:016x}"
    assert (chat.attributes or {})["gen_ai.provider.name"] == "vllm"
    pooling = [span for span in spans.all() if span.name == "pooling call m"]
    assert {f"{span.parent.span_id:016x}" for span in pooling if span.parent} == {
        operation.place.span
    }
    known = {f"{span.context.span_id:016x}" for span in pooling if span.context}
    assert sent["/v1/embeddings"].split("-")[2] in known


async def test_a_remote_index_continues_the_trace(traced: Traced, tmp_path: Path) -> None:
    rag = await filled_rag()
    identity = (await rag.index()).identity
    app = build_app({"": rag}, ServerOptions(folder=tmp_path))
    spans = traced()
    async with app.router.lifespan_context(app):
        index = await RemoteIndex.open(
            IndexSettings(location="ragkit:http://127.0.0.1"),
            identity,
            transport=httpx.ASGITransport(app=app),
        )
        with Operation(kind="answer") as operation:
            await index.records(["rivers.md"])
        await index.close()
    found = [span for span in spans.all() if span.name.startswith("request ") and span.parent]
    assert operation.place is not None
    assert f"{getattr(found[-1].parent, 'span_id', 0):016x}" == operation.place.span
