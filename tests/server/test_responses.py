import json

from ragkit.testing.server import RunningServer

QUESTION = "What is the longest river of Europe?"


async def test_a_response_has_output_text_and_flat_citations(server: RunningServer) -> None:
    sent = {"model": "rag", "input": QUESTION, "instructions": "Be brief."}
    reply = (await server.http.post("/v1/responses", json=sent)).json()
    (item,) = reply["output"]
    (part,) = item["content"]
    assert reply["status"] == "completed"
    assert "Volga" in part["text"]
    assert part["annotations"][0]["type"] == "url_citation"
    assert part["annotations"][0]["title"] == "rivers"
    assert reply["usage"]["input_tokens"] > 0


async def test_the_events_are_numbered_and_end_with_the_whole(server: RunningServer) -> None:
    sent = {"model": "rag", "input": [{"role": "user", "content": QUESTION}], "stream": True}
    response = await server.http.post("/v1/responses", json=sent)
    found = [json.loads(x[6:]) for x in response.text.splitlines() if x.startswith("data: ")]
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    kinds = [one["type"] for one in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    text = "".join(one["delta"] for one in found if one["type"] == "response.output_text.delta")
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == text


async def test_a_conversation_that_is_stored_elsewhere_is_refused(server: RunningServer) -> None:
    sent = {"model": "rag", "input": QUESTION, "previous_response_id": "resp_1"}
    response = await server.http.post("/v1/responses", json=sent)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "previous_response_id"
