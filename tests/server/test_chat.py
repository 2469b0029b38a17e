import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope

from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions, build_app
from ragkit.testing.agents import says_finish
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM
from ragkit.testing.server import RIVERS, RunningServer, filled_rag, running_server

ASKED = [{"role": "user", "content": "What is the longest river of Europe?"}]


def body(**changes: object) -> dict[str, object]:
    return {"model": "rag", "messages": ASKED, **changes}


def events(text: str) -> list[dict[str, Any]]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_an_answer_has_text_usage_and_citations_that_quote_the_document(
    server: RunningServer,
) -> None:
    reply = (await server.http.post("/v1/chat/completions", json=body())).json()
    message = reply["choices"][0]["message"]
    assert "Volga" in message["content"]
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["total_tokens"] > 0
    (first, *_) = message["annotations"]
    assert first["type"] == "url_citation"
    assert first["url_citation"]["title"] == "rivers"
    assert first["url_citation"]["url"].endswith("/v1/documents/text?uri=rivers.md")
    for citation in reply["ragkit"]["citations"]:
        assert RIVERS[citation["start"] : citation["end"]] == citation["quote"]


async def test_the_links_of_citations_lead_to_the_text(server: RunningServer) -> None:
    reply = (await server.http.post("/v1/chat/completions", json=body())).json()
    link = reply["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    assert (await server.http.get(link)).text == RIVERS


async def test_a_stream_says_the_same_as_the_whole(server: RunningServer) -> None:
    whole = (await server.http.post("/v1/chat/completions", json=body())).json()
    options = {"include_usage": True}
    response = await server.http.post(
        "/v1/chat/completions", json=body(stream=True, stream_options=options)
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = events(response.text)
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    found = [c["choices"][0]["delta"].get("annotations") for c in chunks if c["choices"]]
    assert whole["choices"][0]["message"]["annotations"] in found
    assert [c["event"]["type"] for c in chunks if "event" in c] == ["source"] * len(
        whole["ragkit"]["citations"]
    )
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


async def test_footnotes_stand_in_the_text_where_they_are_asked_for(server: RunningServer) -> None:
    wanted = {"citations": ["footnotes"]}
    reply = (await server.http.post("/v1/chat/completions", json=body(ragkit=wanted))).json()
    message = reply["choices"][0]["message"]
    assert "\n\n[1] rivers: " in message["content"]
    assert "annotations" not in message


async def test_hits_come_with_their_ranks_where_they_are_asked_for(server: RunningServer) -> None:
    wanted = {"hits": True, "k": 1}
    reply = (await server.http.post("/v1/chat/completions", json=body(ragkit=wanted))).json()
    (hit,) = reply["ragkit"]["hits"]
    assert hit["uri"] == "rivers.md"
    assert hit["trace"]["bm25"]["rank"] == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": []}, "tools"),
        ({"temprature": 1}, "temprature"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"ragkit": {"where": "year ="}}, None),
        ({"temperature": 3}, "temperature"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    server: RunningServer, changes: dict[str, object], param: str | None
) -> None:
    response = await server.http.post("/v1/chat/completions", json=body(**changes))
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"].startswith(param)


async def test_an_unknown_model_is_named_with_those_that_exist(server: RunningServer) -> None:
    response = await server.http.post("/v1/chat/completions", json=body(model="gpt-4o"))
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'gpt-4o'" in response.json()["error"]["message"]
    assert "rag" in response.json()["error"]["message"]


async def test_without_a_model_only_the_documents_are_offered(server: RunningServer) -> None:
    listed = (await server.http.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["rag"]
    assert (await server.http.get("/v1/models/rag")).json()["id"] == "rag"
    assert (await server.http.get("/v1/models/none")).status_code == 404


async def test_with_a_model_follow_ups_are_condensed_and_the_model_is_offered(
    tmp_path: Path,
) -> None:
    question = json.dumps({"question": "How long is the Volga?"}, separators=(",", ":"))
    llm = ScriptedLLM([question, "plain words"])
    async with running_server(tmp_path / "server", llm=llm) as server:
        listed = (await server.http.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == [
            "rag", "agent-react", "agent-rewoo", "agent-plan", "llm",
        ]  # fmt: skip
        turns = [*ASKED, {"role": "assistant", "content": "The Volga."}]
        asked = [*turns, {"role": "user", "content": "How long is it?"}]
        reply = await server.http.post("/v1/chat/completions", json=body(messages=asked))
        assert reply.json()["ragkit"]["query"] == "How long is the Volga?"
        assert reply.json()["ragkit"]["condensed"] is True
        plain = await server.http.post(
            "/v1/chat/completions", json=body(model="llm", max_tokens=5, seed=3)
        )
        assert plain.json()["choices"][0]["message"]["content"] == "plain"
        assert plain.json()["choices"][0]["finish_reason"] == "length"
        assert llm.calls[-1].options == {"max_tokens": 5, "seed": 3}


async def test_a_collection_is_a_model_and_searched_alone(tmp_path: Path) -> None:
    async with AsyncRAG(index=":memory:", embedder=HashEmbedder(dimensions=64)) as manuals:
        await manuals.ingest(("pump.md", "# Pump\n\nThe pump moves 40 litres a minute."))
        rags = {"": await filled_rag(), "manuals": manuals}
        app = build_app(rags, ServerOptions(folder=tmp_path / "server"))
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as http,
        ):
            listed = (await http.get("/v1/models")).json()["data"]
            assert [model["id"] for model in listed] == ["rag", "rag-manuals"]
            searched = {"query": "longest river", "collection": "manuals"}
            found = (await http.post("/v1/search", json=searched)).json()
            assert {hit["uri"] for hit in found["hits"]} == {"pump.md"}
            asked = [{"role": "user", "content": "How much does the pump move?"}]
            sent = {"model": "rag-manuals", "messages": asked}
            reply = (await http.post("/v1/chat/completions", json=sent)).json()
            assert {one["uri"] for one in reply["ragkit"]["citations"]} <= {"pump.md"}


async def test_an_agent_reads_the_whole_conversation(tmp_path: Path) -> None:
    llm = ScriptedLLM([says_finish("2,850 km."), says_finish("3,690 km.")])
    async with running_server(tmp_path / "server", llm=llm) as server:
        turns = [*ASKED, {"role": "assistant", "content": "It is the Volga."}]
        asked = [*turns, {"role": "user", "content": "How long is it?"}]
        reply = await server.http.post(
            "/v1/chat/completions", json=body(model="agent-react", messages=asked)
        )
    assert reply.json()["choices"][0]["message"]["content"] == "2,850 km."
    prompt = llm.calls[0].prompt
    assert prompt.index("longest river of Europe") < prompt.index("It is the Volga.")
    assert prompt.index("It is the Volga.") < prompt.index("How long is it?")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_takes_too_long_ends_and_frees_its_place(
    tmp_path: Path, path: str, stream: bool
) -> None:
    options = ServerOptions(folder=tmp_path / "server", running=1, request_s=0.05)
    llm = ScriptedLLM(lambda _: "late", delay_s=600)
    async with running_server(tmp_path, options=options, llm=llm) as server:
        asked = {"input": "x"} if path.endswith("responses") else {"messages": ASKED}
        response = await server.http.post(path, json={"model": "llm", "stream": stream, **asked})
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "timeout"
        assert server.app.state.ragkit.queue.running == 0


async def test_a_client_that_leaves_ends_the_call_of_the_model(tmp_path: Path) -> None:
    llm = ScriptedLLM(lambda _: "late", delay_s=600)
    async with running_server(tmp_path / "server", llm=llm) as server:
        queue = server.app.state.ragkit.queue
        sent: list[Message] = []

        async def receive() -> Message:
            if not sent:
                sent.append({})
                return {"type": "http.request", "body": json.dumps(body(model="llm")).encode()}
            while not llm.calls:
                await asyncio.sleep(0)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
        scope: Scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions",
            "query_string": b"", "headers": headers, "server": ("127.0.0.1", 80), "scheme": "http",
        }  # fmt: skip
        await server.app(scope, receive, send)
        assert queue.running == 0
        assert sent[1]["status"] == 499


async def test_an_error_in_the_middle_of_a_stream_is_its_last_event(tmp_path: Path) -> None:
    def breaks(_: object) -> str:
        raise RuntimeError("/secret/path")

    async with running_server(tmp_path / "server", llm=ScriptedLLM(breaks)) as server:
        response = await server.http.post(
            "/v1/chat/completions", json=body(model="llm", stream=True)
        )
    assert "/secret/path" not in response.text
    assert "internal_error" in response.text
