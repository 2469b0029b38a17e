"""The contract of `LLM`, over every implementation and every wrapper."""

from collections.abc import AsyncIterator, Callable

import pytest

from ragkit.core.protocols import LLM
from ragkit.llm import (
    VLLM,
    Cache,
    Cascade,
    CircuitBreaker,
    Concurrency,
    Fallback,
    LocalLLM,
    Metered,
    RateLimit,
    Rates,
    Retry,
    Router,
)
from ragkit.testing.llm import ScriptedLLM, random_replies
from ragkit.testing.llm_contract import LLMContract
from ragkit.testing.vllm_server import VLLMServer


def scripted() -> ScriptedLLM:
    return ScriptedLLM(random_replies(1), context=40_000)


class TestScriptedLLM(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return scripted()


class TestScriptedLLMWithoutGrammars(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return ScriptedLLM(random_replies(1), context=40_000, guarantee="schema")


class TestVLLM(LLMContract):
    @pytest.fixture
    async def llm(self, vllm_server: VLLMServer) -> AsyncIterator[LLM]:
        async with VLLM(vllm_server.url) as llm:
            yield llm


class TestLocalLLM(LLMContract):
    @pytest.fixture
    def llm(self, local_llm: LocalLLM) -> LLM:
        return local_llm


WRAPPERS: dict[str, Callable[[], LLM]] = {
    "retry": lambda: Retry(scripted()),
    "breaker": lambda: CircuitBreaker(scripted()),
    "concurrency": lambda: Concurrency(scripted(), limit=2),
    "rate limit": lambda: RateLimit(scripted(), Rates(tokens=1e9)),
    "cache": lambda: Cache(scripted()),
    "metered": lambda: Metered(scripted()),
    "all": lambda: Retry(
        CircuitBreaker(Concurrency(RateLimit(Cache(Metered(scripted())), Rates()), limit=4))
    ),
}


class TestWrappers(LLMContract):
    @pytest.fixture(params=WRAPPERS)
    def llm(self, request: pytest.FixtureRequest) -> LLM:
        return WRAPPERS[request.param]()


class TestRouter(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return Router({"one": scripted()}, lambda _: "one")


class TestFallback(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return Fallback([scripted()])


class TestCascade(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return Cascade([scripted()], lambda _: True)
