"""`ReplyClock`: the times of a reply, for the metrics."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragkit.core.operation import trace_place
from ragkit.server.metrics import Metrics, ReplyTimes
from ragkit.server.replies import Outcome, Piece


class ReplyClock:
    """Times one reply of a model name."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        """Start the clock."""
        self._metrics = metrics
        self._model = model
        self._started = time.perf_counter()
        self._first: float | None = None

    async def timed(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """Pass the pieces of a reply on, and note its times, or that it failed.

        A client that leaves is no failure.
        """
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if piece.text and self._first is None:
                        self._first = time.perf_counter() - self._started
                    if piece.outcome is not None:
                        self._note(piece.outcome)
                    yield piece
        except (GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException:
            self._metrics.replies.failed(self._model)
            raise

    def _note(self, outcome: Outcome) -> None:
        total = time.perf_counter() - self._started
        further = outcome.usage.completion - 1
        token = None
        if self._first is not None and further > 0:
            token = (total - self._first) / further
        times = ReplyTimes(first_s=self._first, token_s=token, total_s=total)
        self._metrics.replies.ended(self._model, times, trace_place())
        for kind in ("prompt", "cached", "completion"):
            tokens = getattr(outcome.usage, kind)
            self._metrics.tokens.labels(model=self._model, kind=kind).inc(tokens)
