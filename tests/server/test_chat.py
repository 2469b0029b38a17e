import json
from pathlib import Path
from typing import Any

import pytest

from ragkit.testing.llm import ScriptedLLM
from ragkit.testing.server import RIVERS, RunningServer, running_server

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


async def test_an_error_in_the_middle_of_a_stream_is_its_last_event(tmp_path: Path) -> None:
    def breaks(_: object) -> str:
        raise RuntimeError("/secret/path")

    async with running_server(tmp_path / "server", llm=ScriptedLLM(breaks)) as server:
        response = await server.http.post(
            "/v1/chat/completions", json=body(model="llm", stream=True)
        )
    assert "/secret/path" not in response.text
    assert "internal_error" in response.text
