"""What answerers share that answer in the words of the hits, or abstain."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer, Citation, Hit, Timings, Usage

ABSTENTION = "The documents do not answer this."


class Confident(Protocol):
    """A part of a hit that may answer a question."""

    @property
    def confidence(self) -> float:
        """Estimated probability that the hits answer the question, if this is the best."""
        ...


C = TypeVar("C", bound=Confident)


class VerbatimAnswerer(ABC, Generic[C]):
    """Answers with some of the candidates that it finds in the hits.

    Abstains where there is none, or the best one's confidence is below `settings.threshold`.
    """

    def __init__(self, settings: AnswerSettings, language: str) -> None:
        """Take the threshold, the number of quotes, and whose sentence rules apply."""
        self._settings = settings
        self._language = language

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer with verbatim citations from `hits`."""
        started = time.perf_counter()
        ranked = await self.candidates(question, hits)
        confidence = ranked[0].confidence if ranked else 0.0
        abstained = not ranked or confidence < self._settings.threshold
        chosen = [] if abstained else self._choose(ranked)
        return Answer(
            text=ABSTENTION if abstained else self._text(chosen),
            citations=tuple(map(self._citation, chosen)),
            abstained=abstained,
            confidence=confidence,
            hits=tuple(hits),
            usage=Usage(),
            timings=Timings(total_s=time.perf_counter() - started),
        )

    @abstractmethod
    async def candidates(self, question: str, hits: Sequence[Hit]) -> list[C]:
        """What may answer, best first."""

    @abstractmethod
    def _choose(self, ranked: Sequence[C]) -> list[C]:
        """The candidates that make the answer, the best first."""

    @abstractmethod
    def _text(self, chosen: Sequence[C]) -> str:
        """The answer in their words."""

    @abstractmethod
    def _citation(self, item: C) -> Citation:
        """Where a candidate stands."""


def probability(log_odds: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-log_odds))
