"""Measuring answers against gold answers: exact match, F1, abstention, quotes, failures."""

import asyncio
import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from ragkit.core.errors import InputError
from ragkit.core.protocols import OnProgress, Progress
from ragkit.core.types import Answer
from ragkit.evaluation.checkpoint import Finished, nothing_finished
from ragkit.evaluation.failures import NOT_READ, NOT_RETRIEVED, RANKED_LOW, counted
from ragkit.evaluation.lexical_support import lexical_support
from ragkit.evaluation.questions import Item, QuestionSet
from ragkit.evaluation.runs import Example, StageResult, stage_result

Given: TypeAlias = Literal["search", "paragraph"]
"""What the answerer is given: the hits of a search over all paragraphs, or the question's own."""
Evidence: TypeAlias = Literal["given", "low", "missing"]
"""Whether the answerer was given the passage with the answer, or it was ranked too low for that,
or not retrieved."""
ANSWERED_ANYWAY = "answered without an answer there"
_RIGHT_ENOUGH = 0.5
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The answer to a question, the time it took, how far its evidence came, a judge's measures."""

    answer: Answer
    seconds: float
    evidence: Evidence
    judged: Mapping[str, float] = field(default_factory=dict[str, float])


Ask: TypeAlias = Callable[[Item], Awaitable[Asked]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a question.

    Attributes:
        text: The answer, empty where abstained.
        evidence: How far the passage with the answer came.
        verbatim: Share of the quotes that stand in their paragraph where they say, 0 without
            quotes; None where abstained.
        support: See `lexical_support`; None where abstained.
        seconds: Time that it took.
        judged: A judge's measures.
    """

    text: str
    evidence: Evidence
    verbatim: float | None
    support: float | None
    seconds: float
    judged: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def abstained(self) -> bool:
        """Whether no answer was given."""
        return self.verbatim is None


_OUTCOME = TypeAdapter(Outcome)


def normalised(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text: str, gold: Iterable[str]) -> float:
    """1 where the answer equals a gold answer in normal form, else 0.

    Without a gold answer it is 1 for an empty text (SQuAD 2.0, Rajpurkar et al. 2018).
    """
    return float(normalised(text) in {normalised(item) for item in _present(gold)})


def f1(text: str, gold: Iterable[str]) -> float:
    """F1 of the words that answer and gold answer share, for the best gold answer (SQuAD)."""
    return max(_f1(normalised(text).split(), normalised(item).split()) for item in _present(gold))


def holds(text: str, gold: Iterable[str]) -> float:
    """1 where the answer contains a gold answer, word for word in normal form, else 0."""
    words = f" {normalised(text)} "
    return float(any(f" {normalised(item)} " in words for item in _present(gold) if item))


def _present(gold: Iterable[str]) -> list[str]:
    return [item for item in gold if normalised(item)] or [""]


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


async def evaluate_qa(
    dataset: QuestionSet,
    ask: Ask,
    *,
    seed: int = 0,
    finished: Finished | None = None,
    concurrency: int = 1,
    on_progress: OnProgress | None = None,
) -> StageResult:
    """Ask every question, `concurrency` at a time, and measure the answers.

    Questions that `finished` holds are not asked again. One that cannot be asked (`InputError`)
    counts as abstained and is listed; any other error ends the run.
    """
    run = _Run(
        dataset=dataset, ask=ask, finished=finished or nothing_finished(), on_progress=on_progress
    )
    await run.all(concurrency)
    values = _values(dataset, run.outcomes)
    return stage_result(
        values,
        [outcome.seconds for outcome in run.outcomes.values()],
        failed=run.failed,
        failures=counted(_failures(dataset, run.outcomes)),
        outputs={key: [outcome.text] for key, outcome in run.outcomes.items()},
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    dataset: QuestionSet
    ask: Ask
    finished: Finished
    on_progress: OnProgress | None
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    async def all(self, concurrency: int) -> None:
        waiting = iter(self.dataset.items)

        async def work() -> None:
            for item in waiting:
                await self.note(item)

        workers = [asyncio.ensure_future(work()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def note(self, item: Item) -> None:
        if self.on_progress is not None:
            done = len(self.outcomes) + len(self.failed)
            self.on_progress(Progress(phase="ask", done=done, total=len(self.dataset.items)))
        try:
            self.outcomes[item.id] = await self.one(item)
        except InputError as error:
            self.failed[item.id] = str(error)

    async def one(self, item: Item) -> Outcome:
        parts = (item.question, item.paragraph, *item.gold)

        async def asked() -> Outcome:
            return _outcome(self.dataset, await self.ask(item))

        return await self.finished.once(_OUTCOME, asked, *parts)


def _outcome(dataset: QuestionSet, asked: Asked) -> Outcome:
    answer = asked.answer
    if answer.abstained:
        return Outcome(
            text="", evidence=asked.evidence, verbatim=None, support=None, seconds=asked.seconds
        )
    exact = [
        citation.uri in dataset.paragraphs
        and dataset.paragraphs[citation.uri].text[citation.start : citation.end] == citation.quote
        for citation in answer.citations
    ]
    return Outcome(
        text=answer.text,
        evidence=asked.evidence,
        verbatim=sum(exact) / len(exact) if exact else 0.0,
        support=lexical_support(answer),
        seconds=asked.seconds,
        judged=asked.judged,
    )


def _values(dataset: QuestionSet, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, float]]:
    """Every measure's values; those of abstention only where there are unanswerable questions."""
    text = {
        item.id: outcomes[item.id].text if item.id in outcomes else "" for item in dataset.items
    }
    answerable = {item.id: item.gold for item in dataset.items if item.gold}
    abstained = {
        item.id: float(item.id not in outcomes or outcomes[item.id].abstained)
        for item in dataset.items
    }
    given = {key: outcome for key, outcome in outcomes.items() if not outcome.abstained}
    every = {
        "f1": {item.id: f1(text[item.id], item.gold) for item in dataset.items},
        "em": {item.id: exact_match(text[item.id], item.gold) for item in dataset.items},
        "holds": {key: holds(text[key], gold) for key, gold in answerable.items()},
        "abstention": {key: v for key, v in abstained.items() if key not in answerable},
        "false_abstention": {key: abstained[key] for key in answerable},
        "evidence": {
            key: float(outcomes[key].evidence == "given") for key in answerable if key in outcomes
        },
        "verbatim": {key: item.verbatim or 0.0 for key, item in given.items()},
        "lexical_support": {key: item.support or 0.0 for key, item in given.items()},
    }
    if every["abstention"]:
        every["answerable_f1"] = {key: every["f1"][key] for key in answerable}
    judged = dict.fromkeys(name for item in given.values() for name in item.judged)
    for name in judged:
        every[name] = {key: item.judged[name] for key, item in given.items() if name in item.judged}
    return {name: values for name, values in every.items() if values}


def _failures(dataset: QuestionSet, outcomes: Mapping[str, Outcome]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {
        NOT_RETRIEVED: [],
        RANKED_LOW: [],
        NOT_READ: [],
        ANSWERED_ANYWAY: [],
    }
    for item in dataset.items:
        outcome = outcomes.get(item.id)
        if outcome is not None and (kind := _failure(item, outcome)) is not None:
            said = "abstained" if outcome.abstained else f"said {outcome.text!r}"
            wanted = f"wanted {item.gold[0]!r}" if item.gold else "wanted no answer"
            example = Example(query=item.id, question=item.question, detail=f"{said}; {wanted}")
            found[kind].append(example)
    return found


def _failure(item: Item, outcome: Outcome) -> str | None:
    if not item.gold:
        return None if outcome.abstained else ANSWERED_ANYWAY
    if f1(outcome.text, item.gold) >= _RIGHT_ENOUGH or holds(outcome.text, item.gold):
        return None
    return {"missing": NOT_RETRIEVED, "low": RANKED_LOW, "given": NOT_READ}[outcome.evidence]
