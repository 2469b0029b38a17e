import json
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragkit.core.errors import Failure, ProviderError
from ragkit.core.settings import LLMSettings
from ragkit.core.types import Delta
from ragkit.llm.build import build_llm
from ragkit.llm.call import Call
from ragkit.server.agent_pipeline import LEAST_TOKENS, AnswerPieces
from ragkit.server.errors import ApiError
from ragkit.testing.agents import says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM, random_replies
from ragkit.testing.server import running_server
from tests.server.test_chat import events

CHAT = "/v1/chat/completions"
PATTERNS = pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
STREAMED = pytest.mark.parametrize("stream", [False, True])
DRAFT = '{"thought":"","calls":[{"tool":"finish","arguments":{"answer":"A draft.","junk":1}}]}'
"""It breaks the schema of `finish`, whose argument is shown as it is written."""
LONG = says_finish("A draft. " * 2000)
"""It is longer than a reply may be, so that it is cut and asked for again."""
SEARCH = says_action("", ("search_documents", {"query": "longest river, deepest lake"}))


def asked(pattern: str = "react", **fields: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "What is the longest river?"}]
    return {"model": f"agent-{pattern}", "messages": messages, **fields}


def text_of(response: httpx.Response) -> str:
    """The text of a reply, in whichever form it came."""
    if response.headers["content-type"].startswith("text/event-stream"):
        found = [json.loads(x[6:]) for x in response.text.splitlines() if x.startswith("data: {")]
        return "".join(_delta(one) for one in found)
    body = response.json()
    if "output" in body:
        return str(body["output"][0]["content"][0]["text"])
    return str(body["choices"][0]["message"]["content"])


def _delta(chunk: Mapping[str, Any]) -> str:
    if chunk.get("type") == "response.output_text.delta":
        return str(chunk["delta"])
    return "".join(choice["delta"].get("content", "") for choice in chunk.get("choices", ()))


def planned(text: str) -> Callable[[ScriptedCall], str]:
    """Plan one search, and answer with this text."""
    plan = says_plan(("search_documents", {"query": "longest river"}))
    return lambda call: plan if call.grammar is not None else text


@STREAMED
@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@pytest.mark.parametrize(("draft", "guarantee"), [(DRAFT, "schema"), (LONG, "grammar")])
async def test_a_draft_that_is_rejected_is_no_part_of_the_answer(
    tmp_path: Path, path: str, stream: bool, draft: str, guarantee: Any
) -> None:
    llm = ScriptedLLM([draft, says_finish("The Volga.")], guarantee=guarantee)
    async with running_server(tmp_path, llm=llm) as server:
        body = asked(stream=stream)
        if path != CHAT:
            body["input"] = body.pop("messages")
        response = await server.http.post(path, json=body)
    assert response.status_code == 200
    assert len(llm.calls) == 2
    assert text_of(response) == "The Volga."


async def test_an_answer_that_is_not_rejected_streams_as_it_is_written(tmp_path: Path) -> None:
    llm = ScriptedLLM(planned(" \n The Volga,   which is   3,690 km long. \n"))
    async with running_server(tmp_path, llm=llm) as server:
        response = await server.http.post(CHAT, json=asked("rewoo", stream=True))
    texts = [text for one in events(response.text) if (text := _delta(one))]
    assert "".join(texts) == "The Volga,   which is   3,690 km long."
    assert len(texts) > 2


def test_an_answer_that_is_another_than_what_was_sent_is_an_error() -> None:
    shown = AnswerPieces()
    assert [shown.more(" The "), shown.more("Vol"), shown.rest("The Volga.")] == [
        "The", " Vol", "ga.",
    ]  # fmt: skip
    with pytest.raises(ApiError, match=r"'The Vol'\. Fix: send the request again"):
        shown.rest("A lake.")


async def test_the_filter_and_the_number_of_passages_bind_the_search(tmp_path: Path) -> None:
    llm = ScriptedLLM([SEARCH, says_finish("Done."), SEARCH, says_finish("Done.")])
    async with running_server(tmp_path, llm=llm) as server:
        replies = [
            (await server.http.post(CHAT, json=asked(ragkit=extension))).json()
            for extension in ({"where": "uri == 'lakes.md'"}, {"k": 1})
        ]
    filtered, counted = ([one["uri"] for one in r["ragkit"]["citations"]] for r in replies)
    assert set(filtered) == {"lakes.md"}
    assert "Volga" not in llm.calls[1].prompt
    assert len(counted) == 1


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"ragkit": {"where": "uri ="}}, None, "The filter"),
        ({"ragkit": {"where": "level == 'x'"}}, None, "Unknown field 'level' in the filter"),
        ({"ragkit": {"hits": True}}, "ragkit.hits", "ragkit.hits is True"),
        ({"stop": ["x"]}, "stop", "stop is ['x'], which an agent cannot honour"),
        ({"max_tokens": 100}, "max_tokens", "max_tokens is 100"),
        ({"seed": -1}, None, "seed must be at least 0"),
    ],
)
async def test_an_option_that_an_agent_cannot_honour_is_refused_before_its_first_call(
    tmp_path: Path, fields: dict[str, Any], param: str | None, message: str
) -> None:
    llm = ScriptedLLM([])
    async with running_server(tmp_path, llm=llm) as server:
        response = await server.http.post(CHAT, json=asked(**fields))
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert message in error["message"]
    assert llm.calls == []


@PATTERNS
async def test_the_options_of_usual_clients_reach_every_call_of_the_model(
    tmp_path: Path, pattern: str
) -> None:
    plain = random_replies(1)
    llm = ScriptedLLM(lambda call: plain(call) if call.grammar is not None else "word " * 900)
    fields: dict[str, Any] = {"temperature": 0.3, "top_p": 0.5, "seed": 4, "max_tokens": 512}
    usual = {"n": 1, "user": "u", "stop": None, "presence_penalty": 0, "frequency_penalty": 0}
    async with running_server(tmp_path, llm=llm) as server:
        response = await server.http.post(CHAT, json=asked(pattern, **fields, **usual))
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"]) <= LEAST_TOKENS
    for call in llm.calls:
        assert call.max_tokens <= LEAST_TOKENS
        assert {name: call.options.get(name) for name in fields} == fields


@PATTERNS
@STREAMED
@pytest.mark.enable_socket
@pytest.mark.parametrize("model", ["openai:http://127.0.0.1:9/v1#m", "vllm:http://127.0.0.1:9#m"])
async def test_a_model_that_cannot_be_reached_is_an_error(
    tmp_path: Path, model: str, pattern: str, stream: bool
) -> None:
    llm = build_llm(LLMSettings(model=model, timeout_s=3))
    async with running_server(tmp_path, llm=llm) as server:
        response = await server.http.post(CHAT, json=asked(pattern, stream=stream))
    await llm.close()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "provider_refused"


async def test_a_model_that_fails_once_passages_were_found_is_an_error(tmp_path: Path) -> None:
    def reply(call: ScriptedCall) -> str:
        if "Baikal" in call.prompt:
            raise ProviderError("It is gone.", provider="scripted", failure="overloaded")
        return SEARCH

    async with running_server(tmp_path, llm=ScriptedLLM(reply)) as server:
        response = await server.http.post(CHAT, json=asked())
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "provider_overloaded"


@pytest.mark.parametrize("failure", ["timeout", "overloaded"])
async def test_a_model_that_fails_while_it_writes_the_answer_ends_the_stream_with_its_error(
    tmp_path: Path, failure: Failure
) -> None:
    class Broken(ScriptedLLM):
        """Breaks off each free text."""

        async def respond(self, call: Call) -> AsyncGenerator[Delta]:
            async for delta in super().respond(call):
                yield delta
                if call.grammar is None:
                    raise ProviderError("It is gone.", provider="x", failure=failure)

    async with running_server(tmp_path, llm=Broken(planned("The longest is the Volga."))) as server:
        body = asked("rewoo")
        streamed = await server.http.post(CHAT, json={**body, "stream": True})
        whole = await server.http.post(CHAT, json=body)
    found = events(streamed.text)
    assert "".join(map(_delta, found)) == "The long"
    assert found[-1]["error"]["code"] == whole.json()["error"]["code"] == f"provider_{failure}"


async def test_a_model_that_takes_too_long_is_no_answer_though_time_is_left(tmp_path: Path) -> None:
    def late(_: ScriptedCall) -> str:
        raise ProviderError("Too late.", provider="x", failure="timeout")

    async with running_server(tmp_path, llm=ScriptedLLM(late)) as server:
        response = await server.http.post(CHAT, json=asked())
    assert response.status_code == 504


async def test_an_answer_that_a_second_call_writes_after_a_failed_one_stands(
    tmp_path: Path,
) -> None:
    def reply(call: ScriptedCall) -> str:
        if call.grammar is not None:
            raise ProviderError("Too late.", provider="x", failure="timeout")
        return "Nothing was found in time."

    async with running_server(tmp_path, llm=ScriptedLLM(reply)) as server:
        response = await server.http.post(CHAT, json=asked())
    choice = response.json()["choices"][0]
    assert choice["message"]["content"] == "Nothing was found in time."
    assert choice["finish_reason"] == "stop"
    assert response.json()["ragkit"]["stopped_by"] == "seconds"
