"""Abstention: answerers in the words of the hits decline below a threshold of confidence."""

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
        """Estimated probability that the hits answer the question, if this is the best part."""
        ...


C = TypeVar("C", bound=Confident)


class AbstainingAnswerer(ABC, Generic[C]):
    """Answers with some of the candidates that it finds in the hits, or abstains.

    It abstains without candidates, and where the best one's confidence is below
    `settings.threshold`.
    """

    def __init__(self, settings: AnswerSettings, language: str) -> None:
        """Use the threshold and number of quotes of the settings, and a language's sentences."""
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
        """Return the candidates, best first."""

    @abstractmethod
    def _choose(self, ranked: Sequence[C]) -> list[C]:
        """Return the candidates that make the answer, best first."""

    @abstractmethod
    def _text(self, chosen: Sequence[C]) -> str:
        """Return the text of the answer."""

    @abstractmethod
    def _citation(self, item: C) -> Citation:
        """Return the citation of a candidate."""


def probability(log_odds: float) -> float:
    """Return the logistic function of the log-odds."""
    return 1 / (1 + math.exp(-log_odds))
