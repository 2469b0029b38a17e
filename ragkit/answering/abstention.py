"""Abstention: answerers in the words of the hits decline below a threshold of confidence."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer, AnswerSpan, Citation, Hit, Timings, Usage

ABSTENTION = "The documents do not answer this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An answer before the decision to give it.

    `confidence` is the estimated probability that it is right; `span` is the short answer in
    `text`, where there is one.
    """

    text: str
    citations: tuple[Citation, ...]
    confidence: float
    span: AnswerSpan | None = None


class AbstainingAnswerer(ABC):
    """Answers in the words of the hits, or abstains.

    It abstains without a draft, and where the draft's confidence is below `settings.threshold`, or
    below `least_confidence` where that is None.
    """

    least_confidence: ClassVar[float] = 0.5

    def __init__(self, settings: AnswerSettings, language: str) -> None:
        """Use the threshold and number of quotes of the settings, and a language's sentences."""
        self._settings = settings
        self._language = language

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer with verbatim citations from `hits`."""
        started = time.perf_counter()
        draft = await self.draft(question, hits)
        confidence = 0.0 if draft is None else draft.confidence
        threshold = self._settings.threshold
        least = self.least_confidence if threshold is None else threshold
        given = None if confidence < least else draft
        return Answer(
            text=ABSTENTION if given is None else given.text,
            citations=() if given is None else given.citations,
            abstained=given is None,
            confidence=confidence,
            hits=tuple(hits),
            usage=Usage(),
            timings=Timings(total_s=time.perf_counter() - started),
            span=None if given is None else given.span,
        )

    @abstractmethod
    async def draft(self, question: str, hits: Sequence[Hit]) -> Draft | None:
        """Return the best answer that the hits allow, None where they hold no text."""


def probability(log_odds: float) -> float:
    """Return the logistic function of the log-odds."""
    return 1 / (1 + math.exp(-log_odds))
