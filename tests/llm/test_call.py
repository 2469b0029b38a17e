from collections.abc import AsyncGenerator, Callable

import pytest

from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm import (
    Cache,
    Call,
    CircuitBreaker,
    Concurrency,
    Metered,
    RateLimit,
    Rates,
    Retry,
    Router,
    SelfConsistent,
)
from ragkit.testing import ScriptedLLM


class ClosingLLM(ScriptedLLM):
    """Records that its stream was closed."""

    closed = False

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        try:
            yield Delta(text="piece")
            yield Delta(text="another")
        finally:
            self.closed = True


WRAPS: list[Callable[[LLM], LLM]] = [
    Cache,
    CircuitBreaker,
    Metered,
    Retry,
    SelfConsistent,
    lambda llm: Concurrency(llm, limit=1),
    lambda llm: RateLimit(llm, Rates()),
    lambda llm: Router({"one": llm}, lambda _: "one"),
]


@pytest.mark.parametrize("wrap", WRAPS)
async def test_closing_a_stream_closes_what_it_wraps_at_once(wrap: Callable[[LLM], LLM]) -> None:
    inner = ClosingLLM([])
    deltas = wrap(inner).stream("x")
    await anext(deltas)
    await deltas.aclose()
    assert inner.closed
