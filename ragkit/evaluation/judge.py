"""A language model as judge of answers; each verdict is asked for in both orders."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.protocols import LLM
from ragkit.core.text import sentences
from ragkit.core.types import Answer, Message
from ragkit.grammar.plain_text import choice_grammar
from ragkit.llm.prompts import prompt_file

Preference: TypeAlias = Literal["first", "second", "tie"]
_PREFERENCES: Mapping[str, Preference] = {"first": "first", "second": "second", "tie": "tie"}
_SWAPPED: Mapping[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}
_VERDICTS = ("supported", "unsupported")


class Judge:
    """Asks a language model for verdicts, under a grammar and at temperature 0.

    A model's verdict depends on the order of its input (Zheng et al. 2023, arXiv:2306.05685). Each
    verdict is asked for in both orders and counts only if both agree. Pass a `Cache` of
    `ragkit.llm` to ask each question once.
    """

    def __init__(self, llm: LLM) -> None:
        """Use this model."""
        self._llm = llm

    @property
    def model(self) -> str:
        """The model's name."""
        return self._llm.model

    async def supports(self, evidence: str, claim: str) -> bool | None:
        """Return True if the evidence supports the claim, None if the two verdicts differ."""
        parts = (f"Evidence:\n{evidence}", f"Claim:\n{claim}")
        first, second = await asyncio.gather(
            self._ask("support", parts, _VERDICTS),
            self._ask("support", parts[::-1], _VERDICTS[::-1]),
        )
        return first == "supported" if first == second else None

    async def prefers(self, question: str, first: str, second: str) -> Preference | None:
        """Return the better answer, None if the verdict changes with their order."""
        there, back = await asyncio.gather(
            self._compare(question, first, second), self._compare(question, second, first)
        )
        return there if there == _SWAPPED[back] else None

    async def _compare(self, question: str, first: str, second: str) -> Preference:
        parts = (f"Question:\n{question}", f"First answer:\n{first}", f"Second answer:\n{second}")
        return _PREFERENCES[await self._ask("preference", parts, tuple(_PREFERENCES))]

    async def _ask(self, prompt: str, parts: Sequence[str], choices: Sequence[str]) -> str:
        asked = "\n\n".join((*parts, f"Your verdict, one of: {', '.join(choices)}"))
        messages = [
            Message(role="system", content=prompt_file("ragkit.evaluation", prompt)),
            Message(role="user", content=asked),
        ]
        grammar = choice_grammar(choices)
        reply = await self._llm.complete(messages, grammar=grammar, temperature=0)
        return grammar.parse(reply.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's measures of an answer; None if all of its verdicts were undecided.

    Attributes:
        faithfulness: Share of the answer's sentences that the passages given support.
        citation_recall: Share of its sentences that its quotes together support.
        citation_precision: Share of its quotes that support a sentence alone, or without which
            one is no longer supported.
        undecided: Share of verdicts on which the two orders disagree; they do not count.
    """

    faithfulness: float | None
    citation_recall: float | None
    citation_precision: float | None
    undecided: float

    @property
    def measures(self) -> dict[str, float]:
        """The measures that are not None, by name."""
        found = {
            "faithfulness": self.faithfulness,
            "citation_recall": self.citation_recall,
            "citation_precision": self.citation_precision,
            "undecided": self.undecided,
        }
        return {name: value for name, value in found.items() if value is not None}


async def judged(answer: Answer, judge: Judge, *, language: str = "english") -> Judgement | None:
    """Judge an answer's faithfulness and citations; None for one that abstained.

    Recall and precision are ALCE's (Gao et al. 2023, arXiv:2305.14627), with quotes that belong
    to the answer as a whole.
    """
    spans = sentences(answer.text, language=language)
    if answer.abstained or not spans:
        return None
    claims = [answer.text[start:end] for start, end in spans]
    quotes = [citation.quote for citation in answer.citations]
    shown = [hit.chunk.text for hit in answer.hits if hit.chunk.id not in answer.left_out]
    faithful = [await _supports(judge, shown, claim) for claim in claims]
    recalled = [await _supports(judge, quotes, claim) for claim in claims]
    pairs = list(zip(claims, recalled, strict=True))
    precise = [await _needed(judge, quotes, number, pairs) for number in range(len(quotes))]
    verdicts = [*faithful, *recalled, *precise]
    return Judgement(
        faithfulness=_share(faithful),
        citation_recall=_share(recalled),
        citation_precision=_share(precise),
        undecided=verdicts.count(None) / len(verdicts),
    )


async def _supports(judge: Judge, evidence: Sequence[str], claim: str) -> bool | None:
    return await judge.supports("\n\n".join(evidence), claim) if evidence else False


async def _needed(
    judge: Judge, quotes: Sequence[str], number: int, claims: Iterable[tuple[str, bool | None]]
) -> bool | None:
    """Return True if a quote alone supports a claim, or the others don't support it without."""
    verdict: bool | None = False
    others = [quote for position, quote in enumerate(quotes) if position != number]
    for claim, supported in claims:
        alone = await judge.supports(quotes[number], claim)
        if alone:
            return True
        if alone is None:
            verdict = None
        elif supported and others:
            without = await _supports(judge, others, claim)
            if without is False:
                return True
            if without is None:
                verdict = None
    return verdict


def _share(verdicts: Sequence[bool | None]) -> float | None:
    decided = [verdict for verdict in verdicts if verdict is not None]
    return sum(decided) / len(decided) if decided else None
