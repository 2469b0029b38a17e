"""Every kind of server: the contract over emulations of them, and what each takes and refuses."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from ragkit.agents import react, run
from ragkit.core.errors import ConfigError, ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.settings import LLMSettings
from ragkit.core.types import Delta, Json, Message, Reply, Timings, Usage
from ragkit.grammar import ToolSpec, action_grammar, choice_grammar, json_grammar
from ragkit.llm import VLLM, Fallback, LlamaCpp, Ollama, OpenAI, Retry, SGLang, build_llm
from ragkit.llm.call import Call
from ragkit.llm.openai.client import ChatServer
from ragkit.testing.agents import RecordingTool
from ragkit.testing.llm_contract import GRAMMARS, LLMContract
from ragkit.testing.model_server import EmulatedModelServer, ServerRequest, ServerResponse
from tests.llm.openai.emulation import (
    Emulation,
    LlamaCppEmulation,
    NativeEmulation,
    OllamaEmulation,
    OpenAIEmulation,
    SGLangEmulation,
    VLLMEmulation,
    event,
    refused,
)

KINDS: dict[str, tuple[type[ChatServer], type[Emulation]]] = {
    "vllm": (VLLM, VLLMEmulation),
    "sglang": (SGLang, SGLangEmulation),
    "llamacpp": (LlamaCpp, LlamaCppEmulation),
    "ollama": (Ollama, OllamaEmulation),
    "openai": (OpenAI, OpenAIEmulation),
}
NAMES = {"openai": "model-7", "ollama": "emulated"}
ADD: dict[str, Json] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


class TestEmulatedServerWithoutSchemas(LLMContract):
    """Replies of a server that has tool calls only."""

    @pytest.fixture
    async def llm(self) -> AsyncIterator[LLM]:
        async with EmulatedModelServer(NativeEmulation()) as server, OpenAI(server.url, "m") as llm:
            yield llm


def client(kind: str, url: str, **options: Any) -> ChatServer:
    return KINDS[kind][0](url, NAMES.get(kind), api_key="sesame", **options)


@pytest.mark.parametrize("kind", KINDS)
class TestEmulatedServers(LLMContract):
    @pytest.fixture
    async def llm(self, kind: str) -> AsyncIterator[LLM]:
        async with EmulatedModelServer(KINDS[kind][1]()) as server, client(kind, server.url) as llm:
            yield llm


@pytest.mark.parametrize(
    ("kind", "guarantee"),
    [
        ("vllm", "grammar"),
        ("sglang", "grammar"),
        ("llamacpp", "grammar"),
        ("ollama", "schema"),
        ("openai", "schema"),
    ],
)
async def test_each_server_says_in_a_word_what_is_guaranteed(kind: str, guarantee: str) -> None:
    async with EmulatedModelServer(KINDS[kind][1]()) as server:
        llm = client(kind, server.url)
        assert llm.guarantee == guarantee
        assert Retry(llm).guarantee == guarantee
        assert Fallback([client("vllm", server.url), llm]).guarantee == guarantee
        reply = await llm.complete("x", grammar=GRAMMARS["decision"], seed=1)
        assert (reply.guarantee, reply.calls) == (guarantee, 1)
        assert (await llm.complete("x", max_tokens=3)).guarantee is None
        await llm.close()


@pytest.mark.parametrize(
    ("kind", "field"), [("vllm", "structured_outputs"), ("sglang", "ebnf"), ("llamacpp", "grammar")]
)
async def test_grammars_go_in_the_server_s_own_field_and_options_by_its_names(
    kind: str, field: str
) -> None:
    emulation = KINDS[kind][1]()
    async with EmulatedModelServer(emulation) as server, client(kind, server.url) as llm:
        await llm.complete("x", grammar=choice_grammar(["a"]), repetition_penalty=1.5, top_k=3)
    sent = emulation.chats[-1]
    assert field in sent
    assert "response_format" not in sent
    penalty = "repeat_penalty" if kind == "llamacpp" else "repetition_penalty"
    assert (sent[penalty], sent["top_k"]) == (1.5, 3)


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
async def test_a_server_that_refuses_grammars_names_the_way_out(kind: str) -> None:
    class Old(KINDS[kind][1]):  # type: ignore[misc]
        def chat(self, request: ServerRequest) -> ServerResponse:
            return refused("unknown field: no such thing here")

    async with EmulatedModelServer(Old()) as server, client(kind, server.url) as llm:
        with pytest.raises(ProviderError, match=r"refuses the grammar.*'openai:http") as told:
            await llm.complete("x", grammar=choice_grammar(["a"]))
        assert (told.value.failure, told.value.provider) == ("no_grammar", kind)
        assert not told.value.retryable


async def test_a_grammar_that_is_refused_after_the_proof_is_told_from_a_bad_option() -> None:
    class Picky(VLLMEmulation):
        def chat(self, request: ServerRequest) -> ServerResponse:
            if len(self.chats) > 1:
                return refused(["Grammar is too large", "seed is bad"][len(self.chats) - 2])
            return super().chat(request)

    async with EmulatedModelServer(Picky()) as server, VLLM(server.url) as llm:
        with pytest.raises(ProviderError, match="Grammar is too large"):
            await llm.complete("x", grammar=choice_grammar(["a"]))
        with pytest.raises(InputError, match="seed is bad"):
            await llm.complete("x", grammar=choice_grammar(["a"]))


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_reply_that_breaks_its_schema_is_asked_for_again_once_with_the_reason(
    kind: str,
) -> None:
    class City(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def capital(cls, name: str) -> str:
            if not name[:1].isupper():
                raise ValueError("begins with a capital")
            return name

    replies = ['{"name": "rome"}', '{"name": "Rome"}', "Sure!", '{"name": 3}']

    def said(_request: ServerRequest, _text: str) -> str:
        return replies.pop(0)

    emulation = KINDS[kind][1](said=said)
    grammar = json_grammar(City)
    emulation.grammars = {"city": grammar}  # type: ignore[attr-defined]
    async with EmulatedModelServer(emulation) as server, client(kind, server.url) as llm:
        deltas = [delta async for delta in llm.stream("Which?", grammar=grammar)]
        reply = deltas[-1].reply
        assert reply is not None
        assert (reply.text, reply.calls) == ('{"name": "Rome"}', 2)
        assert reply.usage.completion == 17 + 17
        restart = next(place for place, delta in enumerate(deltas) if delta.restart)
        assert "".join(delta.text for delta in deltas[restart:]) == reply.text
        again = emulation.chats[1]["messages"]
        assert [turn["role"] for turn in again] == ["user", "assistant", "user"]
        assert "begins with a capital" in again[-1]["content"]
        with pytest.raises(ProviderError, match="gave 2 replies that break their schema") as told:
            await llm.complete("Which?", grammar=grammar)
        assert (told.value.failure, told.value.partial) == ("invalid_reply", '{"name": 3}')
    assert not replies


async def test_openai_is_asked_strictly_where_the_schema_allows() -> None:
    emulation = OpenAIEmulation()
    async with EmulatedModelServer(emulation) as server, client("openai", server.url) as llm:
        for name, strict in (("decision", True), ("plan", True), ("open string", False)):
            await llm.complete("x", grammar=GRAMMARS[name], seed=2)
            assert emulation.chats[-1]["response_format"]["json_schema"]["strict"] is strict


async def test_openai_s_reasoning_models_are_asked_without_what_they_do_not_take(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emulation = OpenAIEmulation(reasons=True)
    async with EmulatedModelServer(emulation) as server, client("openai", server.url) as llm:
        with caplog.at_level(logging.WARNING):
            await llm.complete("x", temperature=0.0, max_tokens=9)
        assert "no temperature from now on" in caplog.text
        assert len(emulation.chats) == 3
        await llm.complete("x", temperature=0.0, max_tokens=9)
    assert len(emulation.chats) == 4
    assert emulation.chats[-1]["max_completion_tokens"] == 9
    assert not {"temperature", "max_tokens"} & emulation.chats[-1].keys()


@pytest.mark.parametrize(("kind", "option"), [("openai", "top_k"), ("ollama", "min_p")])
async def test_an_option_that_a_server_would_ignore_or_refuse_is_named(
    kind: str, option: str
) -> None:
    async with EmulatedModelServer(KINDS[kind][1]()) as server, client(kind, server.url) as llm:
        with pytest.raises(InputError, match=f"{kind} takes no option {option!r}"):
            await llm.complete("x", **{option: 1})  # type: ignore[arg-type]


async def test_several_calls_for_one_end_together_and_share_its_time() -> None:
    limits: list[float] = []
    cancelled: list[int] = []

    class OneFails(LlamaCpp):
        async def _replied(
            self, messages: tuple[Message, ...], call: Call
        ) -> AsyncGenerator[Delta]:
            limits.append(call.options.get("timeout_s", 0))
            match call.options.get("seed"):
                case 0:
                    await asyncio.sleep(0.1)
                case 1:
                    await asyncio.sleep(0)
                    raise ProviderError("broke", provider="llamacpp")
                case _:
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        cancelled.append(len(limits))
                        raise
            timings = Timings(total_s=0.1)
            reply = Reply(text="a", finish_reason="stop", usage=Usage(), timings=timings)
            yield Delta(text="", reply=reply)

    async with EmulatedModelServer(LlamaCppEmulation()) as server, OneFails(server.url) as llm:
        with pytest.raises(ProviderError, match="broke"):
            await llm.complete("x", n=3, seed=0, timeout_s=30)
        await asyncio.sleep(0)
    assert limits[0] == 30
    assert max(limits[1:]) < 29.95
    assert cancelled == [3]


async def test_a_reply_under_a_grammar_that_the_server_aborts_is_an_error() -> None:
    class Aborting(SGLangEmulation):
        def chat(self, request: ServerRequest) -> ServerResponse:
            if len(self.chats) == 1:  # the proof
                return super().chat(request)
            return ServerResponse(events=[{"choices": [{"delta": {}, "finish_reason": "abort"}]}])

    async with EmulatedModelServer(Aborting()) as server, SGLang(server.url) as llm:
        with pytest.raises(ProviderError, match="it ended with 'abort'") as told:
            await llm.complete("x", grammar=choice_grammar(["a"]))
        assert told.value.retryable
        assert (await llm.complete("x")).finish_reason == "abort"


async def test_a_wrong_key_is_told() -> None:
    async with (
        EmulatedModelServer(OpenAIEmulation()) as server,
        OpenAI(server.url, "model-7", api_key="open") as llm,
    ):
        with pytest.raises(ProviderError, match="Fix: set api_key"):
            await llm.complete("x")


async def test_ollama_s_cut_of_a_long_prompt_is_refused_beforehand() -> None:
    emulation = OllamaEmulation(context=100)
    async with EmulatedModelServer(emulation) as server, client("ollama", server.url) as llm:
        assert await llm.context_tokens() == 100
        with pytest.raises(ContextExceeded, match="would cut it to its context of 100"):
            await llm.complete("word " * 100)
        assert not emulation.chats
        await llm.complete("word " * 50, seed=1)
    assert emulation.chats


async def test_a_context_that_no_server_reports_can_be_set() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        return ServerResponse(body={"data": [{"id": "m"}]})

    async with EmulatedModelServer(respond) as server:
        async with VLLM(server.url) as llm:
            with pytest.raises(ProviderError, match=r"Fix: set llm\.context_tokens"):
                await llm.context_tokens()
        assert await VLLM(server.url, context=512).context_tokens() == 512
        settings = LLMSettings(model=f"sglang:{server.url}", context_tokens=99)
        assert await build_llm(settings).context_tokens() == 99


async def test_a_refusal_of_the_model_is_shown() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        event: Json = {"choices": [{"delta": {"refusal": "I won't."}, "finish_reason": "stop"}]}
        return ServerResponse(events=[event])

    async with EmulatedModelServer(respond) as server, client("openai", server.url) as llm:
        with pytest.raises(ProviderError, match="I won't"):
            await llm.complete("x", grammar=GRAMMARS["decision"])


async def test_a_server_that_refuses_schemas_is_told() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        return refused("response_format of type json_schema is not supported")

    async with EmulatedModelServer(respond) as server, client("openai", server.url) as llm:
        with pytest.raises(
            ProviderError, match="refuses the schema of the reply, and tool"
        ) as told:
            await llm.complete("x", grammar=GRAMMARS["decision"])
        assert told.value.failure == "no_grammar"


async def test_a_server_without_schemas_is_asked_by_its_own_tool_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emulation, grammar = NativeEmulation(), GRAMMARS["action"]
    async with EmulatedModelServer(emulation) as server, OpenAI(server.url, "m") as llm:
        replies = [await llm.complete("x", grammar=grammar, seed=seed) for seed in (1, 2)]
    assert all(grammar.parse(reply.text) for reply in replies)
    assert [(reply.guarantee, reply.calls, reply.tool_calls) for reply in replies] == [
        ("schema", 1, ())
    ] * 2
    assert ["tools" in chat for chat in emulation.chats] == [False, True, True]
    assert caplog.text.count("is asked by tool calls instead of a schema") == 1


async def test_arguments_that_break_a_tool_s_schema_are_asked_for_again_once_with_the_reason() -> (
    None
):
    grammar = action_grammar([ToolSpec(name="add", description="Add.", parameters=ADD)])
    replies = ['{"n": "one"}', '{"n": 1}', "{n", '{"n": 2.5}']

    def respond(request: ServerRequest) -> ServerResponse:
        if "response_format" in request.body:
            return refused("json_schema is not supported")
        call: Json = {"index": 0, "function": {"name": "add", "arguments": replies.pop(0)}}
        done: Json = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
        return ServerResponse(
            events=[event({"content": "Hm."}), event({"tool_calls": [call]}), done]
        )

    async with EmulatedModelServer(respond) as server, OpenAI(server.url, "m") as llm:
        reply = await llm.complete("Add one.", grammar=grammar)
        assert grammar.parse(reply.text).calls[0].arguments == {"n": 1}
        assert reply.calls == 2
        assert "is not of type 'integer'" in str(server.requests[-1].body["messages"])
        with pytest.raises(ProviderError, match="break their schema") as told:
            await llm.complete("Add two.", grammar=grammar)
        assert told.value.failure == "invalid_reply"
    assert not replies


async def test_an_agent_of_a_server_with_tool_calls_only_says_what_holds() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if "response_format" in request.body:
            return refused("json_schema is not supported")
        turns: Any = request.body["messages"]
        name, given = ("finish", '{"answer": "72"}') if len(turns) > 2 else ("add", '{"n": 1}')
        call: Json = {"index": 0, "function": {"name": name, "arguments": given}}
        done: Json = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
        return ServerResponse(events=[event({"tool_calls": [call]}), done])

    add = RecordingTool(name="add", parameters=ADD)
    async with EmulatedModelServer(respond) as server, OpenAI(server.url, "m") as llm:
        result = await run(react(llm, [add]), "What is it?")
    assert (result.answer, [given for given, _ in add.calls]) == ("72", [{"n": 1}])
    assert {step.guarantee for step in result.steps if step.kind == "model"} == {"schema"}
    assert "held by its schema only" in result.tree()


async def test_native_tool_calls_go_through_every_server() -> None:
    call: Json = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"a":1}'}}
    tool: dict[str, Json] = {"type": "function", "function": {"name": "add", "parameters": {}}}

    for kind, (_, emulation) in KINDS.items():

        class Calling(emulation):  # type: ignore[misc,valid-type]
            def chat(self, request: ServerRequest) -> ServerResponse:
                assert request.body["tools"] == [tool]
                delta: Json = {"tool_calls": [call]}
                return ServerResponse(
                    events=[{"choices": [{"delta": delta, "finish_reason": "tool_calls"}]}]
                )

        async with EmulatedModelServer(Calling()) as server, client(kind, server.url) as llm:
            (found,) = (await llm.complete("x", tools=[tool])).tool_calls
            assert json.loads(found.arguments) == {"a": 1}


def test_settings_name_each_server_and_its_defaults() -> None:
    def built(model: str, **settings: Any) -> ChatServer:
        llm: Any = build_llm(LLMSettings(model=model, **settings))
        found = llm.inner.inner
        assert isinstance(found, ChatServer)
        return found

    for kind, (of, _) in KINDS.items():
        server = built(f"{kind}:http://models:1/v1#m", api_key="k")
        assert (type(server), server.base_url, server.model) == (of, "http://models:1", "m")
    assert built("openai:gpt-5", api_key="k").base_url == "https://api.openai.com"
    assert built("ollama:qwen3:8b").base_url == "http://127.0.0.1:11434"
    assert built("ollama:qwen3:8b").model == "qwen3:8b"
    with pytest.raises(ConfigError, match=r"needs a key. Fix: set RAGKIT_LLM__API_KEY"):
        build_llm(LLMSettings(model="openai:gpt-5"))
    with pytest.raises(ConfigError, match=r"did you mean 'ollama:'.*'llamacpp:<URL>"):
        build_llm(LLMSettings(model="olama:qwen3"))
