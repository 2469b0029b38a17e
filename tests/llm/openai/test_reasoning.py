"""Reasoning models, emulated as vLLM serves them with a reasoning parser."""

from collections.abc import Mapping

import pytest

from ragkit.core.errors import ConfigError, ProviderError
from ragkit.core.settings import LLMSettings
from ragkit.core.types import Json
from ragkit.grammar import choice_grammar, json_grammar
from ragkit.llm import VLLM, LocalLLM
from ragkit.llm.build import build_llm
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    served_models,
)

CHOICE = choice_grammar(["yes"])


class Reasoner:
    """Thinks for some tokens before a reply under a grammar, unless its template turns that off."""

    def __init__(self, *, tokens: int, obeys: bool = True) -> None:
        self.tokens = tokens
        self.obeys = obeys

    def __call__(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("thinker", context=4096)
        if request.path == "/tokenize":
            return ServerResponse(body={"count": 10})
        return ServerResponse(events=self.events(request.body))

    def events(self, body: Mapping[str, Json]) -> list[Json]:
        template = body.get("chat_template_kwargs")
        told = isinstance(template, dict) and template.get("enable_thinking") is False
        left = body["max_tokens"]
        assert isinstance(left, int)
        thoughts = 0 if told and self.obeys else min(self.tokens, left)
        structured = body["structured_outputs"]
        assert isinstance(structured, dict)
        text = str(structured["grammar"]).partition('"')[2].partition('"')[0]
        said = text[: left - thoughts]
        finish = "stop" if said == text else "length"
        thought: Json = {"choices": [{"delta": {"reasoning": "hm "}}]}
        return [
            *[thought] * thoughts,
            {"choices": [{"delta": {"content": said}}]},
            {"choices": [{"delta": {}, "finish_reason": finish}]},
        ]


@pytest.mark.parametrize("obeys", [True, False])
async def test_grammars_are_proven_although_the_model_reasons(*, obeys: bool) -> None:
    async with EmulatedModelServer(Reasoner(tokens=300, obeys=obeys)) as server:
        llm = VLLM(server.url)
        await llm.prove_grammars()
        await llm.close()
        assert len(server.requests) == (2 if obeys else 3)


async def test_a_server_that_ignores_grammars_is_still_found_out() -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("m", context=4096)
        event: Json = {"choices": [{"delta": {"content": "Sure!"}, "finish_reason": "stop"}]}
        return ServerResponse(events=[event])

    async with EmulatedModelServer(respond) as server, VLLM(server.url) as llm:
        with pytest.raises(ProviderError, match="replied 'Sure!' under a grammar") as told:
            await llm.prove_grammars()
        assert told.value.failure == "no_grammar"


async def test_reasoning_has_a_budget_besides_the_reply_s_and_is_returned() -> None:
    async with EmulatedModelServer(Reasoner(tokens=50)) as server:
        async with VLLM(server.url, reasoning_tokens=64) as llm:
            deltas = [delta async for delta in llm.stream("x", grammar=CHOICE)]
        reply = deltas[-1].reply
        assert reply is not None
        assert (reply.text, reply.reasoning) == ("yes", "hm " * 50)
        assert "".join(delta.reasoning for delta in deltas) == "hm " * 50
        assert server.requests[-1].body["max_tokens"] == CHOICE.max_tokens + 64


async def test_reasoning_beyond_its_budget_is_an_error_with_the_fix() -> None:
    async with EmulatedModelServer(Reasoner(tokens=500)) as server, VLLM(server.url) as llm:
        with pytest.raises(ProviderError, match=r"Fix: raise llm\.reasoning_tokens, or turn"):
            await llm.complete("x", grammar=CHOICE)


async def test_a_grammar_is_fitted_to_what_reasoning_leaves() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    async with EmulatedModelServer(Reasoner(tokens=0)) as server:
        async with VLLM(server.url, reasoning_tokens=3000) as llm:
            room = await llm.context_tokens() - 3000
            await llm.complete("x", grammar=grammar)
        limit = server.requests[-1].body["max_tokens"]
        assert isinstance(limit, int)
        assert 3000 < limit <= 3000 + room


async def test_the_prompt_is_counted_with_the_template_that_is_used() -> None:
    extra: dict[str, Json] = {"chat_template_kwargs": {"enable_thinking": False}, "user": "anna"}
    async with EmulatedModelServer(Reasoner(tokens=0)) as server:
        async with VLLM(server.url, extra=extra) as llm:
            assert await llm.count_tokens("x") == 10
        body = server.requests[-1].body
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        assert "user" not in body


def test_the_settings_carry_extra_fields_and_the_budget() -> None:
    extra: dict[str, Json] = {"chat_template_kwargs": {"enable_thinking": False}}
    llm = build_llm(LLMSettings(model="vllm:http://x:1#m", extra=extra, reasoning_tokens=9))
    assert llm.fixed_fields() == extra  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    local = build_llm(LLMSettings(model="local:folder", extra=extra))
    assert isinstance(local, LocalLLM)
    assert local.fixed_fields() == {"template": {"enable_thinking": False}}
    with pytest.raises(ConfigError, match=r"takes 'chat_template_kwargs' only. Fix: remove"):
        build_llm(LLMSettings(model="local:folder", extra={"user": "anna"}))
