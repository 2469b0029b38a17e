"""The connection to an emulated server: closing, deadlines and refusals without a model."""

import asyncio
import time

import pytest

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.types import Json, Message, ToolCall
from ragkit.grammar import choice_grammar
from ragkit.llm import VLLM
from ragkit.llm.openai.connection import Connection, Patience
from ragkit.testing.model_server import (
    EmulatedModelServer,
    Respond,
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)


def hanging(request: ServerRequest) -> ServerResponse:
    if request.path == "/v1/models":
        return served_models("m", context=1000)
    return ServerResponse(hangs=True)


def stalling(request: ServerRequest) -> ServerResponse:
    if request.path == "/v1/models":
        return served_models("m", context=1000)
    return ServerResponse(events=chat_events("Hel", "lo")[:2], hangs=True)


@pytest.mark.parametrize("respond", [hanging, stalling])
async def test_a_call_in_flight_ends_at_once_when_the_llm_is_closed(respond: Respond) -> None:
    async with EmulatedModelServer(respond) as server:
        llm = VLLM(server.url)
        call = asyncio.create_task(llm.complete("x"))
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await llm.close()
        with pytest.raises(ProviderError, match="dropped the connection") as closed:
            await call
        assert time.monotonic() - started < 10  # not the 30 s between two tokens
        assert closed.value.retryable
        while server.open:
            await asyncio.sleep(0.01)


async def test_a_call_after_closing_opens_new_connections() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m")
        return ServerResponse(events=chat_events("ok"))

    async with EmulatedModelServer(respond) as server:
        llm = VLLM(server.url)
        for _ in range(2):
            assert (await llm.complete("x")).text == "ok"
            await llm.close()


async def test_a_slow_server_is_given_up_after_the_patience() -> None:
    async with EmulatedModelServer(stalling) as server:
        patience = Patience(first_token_s=5, stall_s=0.05)
        async with VLLM(server.url, patience=patience) as llm:
            with pytest.raises(ProviderError, match=r"sent nothing for 0\.05 s") as slow:
                await llm.complete("x")
        assert (slow.value.failure, slow.value.partial) == ("timeout", "Hello")


async def test_a_key_is_sent_as_a_bearer_token_and_never_shown() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        return ServerResponse(status=401, body={"error": {"message": "no"}})

    async with EmulatedModelServer(respond) as server, VLLM(server.url, api_key="sesame") as llm:
        with pytest.raises(ProviderError, match="Fix: set api_key") as refused:
            await llm.complete("x")
        assert server.requests[0].headers["authorization"] == "Bearer sesame"
        assert "sesame" not in str(refused.value)


async def test_a_request_that_the_server_rejects_is_an_input_error() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m")
        return ServerResponse(status=400, body={"message": "temperature is too high"})

    async with EmulatedModelServer(respond) as server, VLLM(server.url) as llm:
        with pytest.raises(InputError, match="rejected the request: temperature is too high"):
            await llm.complete("x")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        *((url, f"'{url}' is not a URL. Fix: write it as") for url in ("", "ftp://x", "http://")),
        ("localhost:8000", "'localhost:8000' is not a URL"),
        ("http://h:port", "a port that is no number. Fix: correct it"),
        ("http://h:99999", "'http://h:99999' is not a URL"),
    ],
)
def test_what_is_not_a_url_is_named(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Connection(url, provider="vllm", api_key=None, patience=Patience())


async def test_a_server_s_own_tool_calls_are_returned_and_answered() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m")
        if len(server.requests) > 2:
            return ServerResponse(events=chat_events("There are 3."))
        call: Json = {"index": 0, "id": "c1", "function": {"name": "stock", "arguments": "{}"}}
        return ServerResponse(
            events=[
                {"choices": [{"delta": {"tool_calls": [call]}}]},
                {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
            ]
        )

    tools: list[dict[str, Json]] = [
        {"type": "function", "function": {"name": "stock", "parameters": {}}}
    ]
    question = Message(role="user", content="How many?")
    async with EmulatedModelServer(respond) as server, VLLM(server.url) as llm:
        reply = await llm.complete([question], tools=tools)
        (call,) = reply.tool_calls
        assert (call, reply.text) == (ToolCall(id="c1", name="stock", arguments="{}"), "")
        turn = Message(role="assistant", content="", tool_calls=reply.tool_calls)
        answer = Message(role="tool", content="3", tool_call_id=call.id)
        assert (await llm.complete([question, turn, answer], tools=tools)).text == "There are 3."
        with pytest.raises(InputError, match="A grammar and tools exclude each other"):
            await llm.complete("x", grammar=choice_grammar(["a"]), tools=tools)
