import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ragkit.core.protocols import LLM
from ragkit.core.types import Json, Message, Usage
from ragkit.llm import (
    VLLM,
    Cache,
    CircuitBreaker,
    Metered,
    Retry,
    Router,
)
from ragkit.llm.wrappers.cache import FileReplies, MemoryReplies
from ragkit.testing import ScriptedLLM
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)


@pytest.mark.parametrize("file", [False, True])
async def test_equal_determined_calls_are_made_once(*, file: bool, tmp_path: Path) -> None:
    inner = ScriptedLLM(lambda call: f"reply {len(inner.calls)}")
    llm = Cache(inner, FileReplies(tmp_path / "replies.db") if file else None)
    first = await llm.complete("x", temperature=0)
    again = await llm.complete([Message(role="user", content="x")], temperature=0, timeout_s=3)
    assert (again.text, again.usage) == (first.text, Usage(prompt=1, cached=1))
    assert (await llm.complete("x", temperature=0, max_tokens=7)).text != first.text
    assert (await llm.complete("x")).text == "reply 3"
    assert (await llm.complete("x")).text == "reply 4"
    assert llm.hits == 1


async def test_equal_calls_that_overlap_are_made_once_even_if_the_first_is_cancelled() -> None:
    inner = ScriptedLLM(lambda _: "reply", delay_s=0.05)
    llm = Cache(inner)
    tasks = [asyncio.create_task(llm.complete("x", seed=1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [getattr(other, "text", other) for other in others] == ["reply", "reply"]
    assert len(inner.calls) == 2


async def test_a_file_of_replies_outlives_its_process(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "replies.db")
    await Cache(ScriptedLLM(["kept"]), store).complete("x", seed=1)
    store.close()
    again = FileReplies(tmp_path / "replies.db")
    assert (await Cache(ScriptedLLM([]), again).complete("x", seed=1)).text == "kept"
    assert len(again) == 1
    del again[next(iter(again))]
    assert "x" not in again
    again.close()


class Templated(ScriptedLLM):
    """A model whose replies depend on a field of each request."""

    def __init__(self, *, thinking: bool) -> None:
        super().__init__(lambda _: f"thinking={thinking}")
        self.thinking = thinking

    def fixed_fields(self) -> Mapping[str, Json]:
        return {"enable_thinking": self.thinking}


@pytest.mark.parametrize("wrap", [Retry, Metered, CircuitBreaker])
async def test_models_with_different_fixed_fields_do_not_share_replies(
    wrap: Callable[[LLM], LLM],
) -> None:
    store = MemoryReplies()
    replies = [
        (await Cache(wrap(Templated(thinking=on)), store).complete("x", seed=1)).text
        for on in (True, False, True)
    ]
    assert replies == ["thinking=True", "thinking=False", "thinking=True"]
    assert len(store) == 2


def test_the_fields_of_a_server_s_requests_are_fixed_fields() -> None:
    extra: dict[str, Json] = {"chat_template_kwargs": {"enable_thinking": False}}
    assert Retry(VLLM("http://127.0.0.1:1", extra=extra)).fixed_fields() == extra
    router = Router({"a": VLLM("http://127.0.0.1:1", extra=extra)}, lambda _: "a")
    assert router.fixed_fields() == {"a": extra}


def responses(request: ServerRequest) -> ServerResponse:
    if request.path == "/v1/models":
        return served_models("unbounded")
    return ServerResponse(events=chat_events("Hel", "lo"))


async def test_a_server_that_does_not_report_its_context_is_cached_too() -> None:
    async with EmulatedModelServer(responses) as server, VLLM(server.url) as llm:
        cache = Cache(llm)
        replies = [(await cache.complete("x", temperature=0)).text for _ in range(2)]
        assert replies == ["Hello", "Hello"]
        assert [request.path for request in server.requests] == [
            "/v1/models",
            "/v1/chat/completions",
        ]


async def test_the_least_recently_used_reply_is_dropped() -> None:
    inner = ScriptedLLM(lambda call: call.prompt)
    cache = Cache(inner, MemoryReplies(most=2))
    for prompt in ("a", "b", "a", "c", "a"):
        await cache.complete(prompt, seed=1)
    assert [call.messages[0].content for call in inner.calls] == ["a", "b", "c"]
