"""Measuring answers on questions with gold answers: text, abstention, quotes, failures."""

import asyncio
import dataclasses
import functools
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from ragkit.core.errors import InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.settings import Settings
from ragkit.evaluation.answer_metrics import exact_match, f1, holds
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.evaluation.failures import NOT_READ, NOT_RETRIEVED, RANKED_LOW, counted
from ragkit.evaluation.fingerprint import digest, settings_digest
from ragkit.evaluation.folder import EvaluationFolder, check_indexed
from ragkit.evaluation.judge import Judge
from ragkit.evaluation.lexical_support import lexical_support
from ragkit.evaluation.qa_systems import (
    AnswerQuestion,
    EndToEnd,
    Evidence,
    Judged,
    MeasuredAnswer,
    ReaderOnly,
)
from ragkit.evaluation.questions import Given, GoldQuestion, QuestionSet
from ragkit.evaluation.runs import Evaluation, Example, StageResult, stage_result
from ragkit.index.build import identity_for
from ragkit.sdk import AsyncRAG

STAGE = "answers"
ANSWERED_ANYWAY = "answered without an answer there"
_RIGHT_ENOUGH = 0.5
_FOLDER = EvaluationFolder()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionOutcome:
    """A question's answer and its measures.

    Attributes:
        text: The answer, empty if it abstained.
        evidence: The way that the passage with the answer came.
        verbatim: Share of the quotes that stand in their paragraph where they say, 0 without
            quotes; None if it abstained.
        support: See `lexical_support`; None if it abstained.
        seconds: Time that it took.
        judged: A judge's measures.
        short: The short answer that `text` marks, or the same as `text`.
    """

    text: str
    evidence: Evidence
    verbatim: float | None
    support: float | None
    seconds: float
    judged: Mapping[str, float] = field(default_factory=dict[str, float])
    short: str = ""

    @property
    def abstained(self) -> bool:
        """True if no answer was given."""
        return self.verbatim is None


_OUTCOME = TypeAdapter(QuestionOutcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """Options of a measurement of answers.

    Attributes:
        given: Answer from a search over all paragraphs, or from the right one.
        judge: A language model that judges faithfulness and citations, as `llm.model` names it.
        concurrency: Questions in flight.
    """

    given: Given = "search"
    judge: str | None = None
    concurrency: int = 1


async def measure_answers(
    settings: Settings,
    dataset: QuestionSet,
    options: AnswerOptions,
    *,
    seed: int = 0,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Ask the SDK's answerer every question.

    With `given="search"` all paragraphs are ingested under `.ragkit/eval` and `RAG.ask` is
    measured. Finished questions are kept there by all that decides them; `fresh` asks them again.
    A judge's verdicts are kept too.
    """
    corpus = dataset.corpus_digest
    judging = settings.llm.model_copy(update={"model": options.judge})
    judged_by = settings.model_copy(update={"llm": judging})
    judged_digest = settings_digest(judged_by) if options.judge else ""
    identity = digest(settings_digest(settings), STAGE, options.given, corpus, judged_digest)
    chunks = 0
    async with _rag(settings, dataset, on_progress) as rag:
        if options.given == "search":
            check_indexed(await rag.ingest(*dataset.paragraphs.values()), dataset.name)
            chunks = sum(record.chunks for record in await rag.documents())
        with _FOLDER.checkpoint(identity, fresh=fresh) as checkpoint:
            async with _system(rag, dataset, options) as system:
                result = await evaluate_answers(
                    dataset,
                    system,
                    seed=seed,
                    checkpoint=checkpoint,
                    concurrency=options.concurrency,
                    on_progress=on_progress,
                )
    return Evaluation(
        kind="qa",
        dataset=dataset.name,
        corpus=corpus,
        documents=len(dataset.paragraphs),
        chunks=chunks,
        queries=len(dataset.items),
        stages={STAGE: result},
        questions={item.id: item.question for item in dataset.items},
        fingerprints=dataset.fingerprints,
        seed=seed,
    )


def _rag(settings: Settings, dataset: QuestionSet, on_progress: OnProgress | None) -> AsyncRAG:
    """Make an SDK whose index is the one of this data set and these settings."""
    embedder = AsyncRAG(settings).embedder
    identity = dataclasses.asdict(identity_for(embedder, settings.index))
    stored = (settings.ingest.model_dump_json(), settings.index.quantization)
    built = digest(json.dumps(identity), *stored, dataset.corpus_digest)
    location = _FOLDER.index_location(dataset.name, built)
    return AsyncRAG(settings, index=location, embedder=embedder, on_progress=on_progress)


@asynccontextmanager
async def _system(
    rag: AsyncRAG, dataset: QuestionSet, options: AnswerOptions
) -> AsyncGenerator[AnswerQuestion]:
    """Open the system that the options describe."""
    searches = options.given == "search"
    system = EndToEnd(rag=rag) if searches else ReaderOnly(rag=rag, dataset=dataset)
    if options.judge is None:
        yield system
        return
    named = rag.settings.llm.model_copy(update={"model": options.judge})
    async with _FOLDER.cached_llm(named) as llm:
        yield Judged(system=system, judge=Judge(llm), language=rag.settings.index.language)


async def evaluate_answers(
    dataset: QuestionSet,
    system: AnswerQuestion,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    concurrency: int = 1,
    on_progress: OnProgress | None = None,
) -> StageResult:
    """Ask every question, `concurrency` at a time, and measure the answers.

    Questions that `checkpoint` holds are not asked again. One that cannot be asked (`InputError`)
    counts as abstained and is listed; any other error ends the run.
    """
    run = _QuestionRun(
        dataset=dataset,
        system=system,
        checkpoint=checkpoint or Checkpoint.in_memory(),
        on_progress=on_progress,
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
class _QuestionRun:
    dataset: QuestionSet
    system: AnswerQuestion
    checkpoint: Checkpoint
    on_progress: OnProgress | None
    outcomes: dict[str, QuestionOutcome] = field(default_factory=dict[str, QuestionOutcome])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    async def all(self, concurrency: int) -> None:
        waiting = iter(self.dataset.items)

        async def work() -> None:
            for item in waiting:
                await self.ask(item)

        workers = [asyncio.ensure_future(work()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def ask(self, item: GoldQuestion) -> None:
        if self.on_progress is not None:
            done = len(self.outcomes) + len(self.failed)
            self.on_progress(Progress(phase="ask", done=done, total=len(self.dataset.items)))
        parts = (item.question, item.paragraph, *item.gold)
        measure = functools.partial(self._measured, item)
        try:
            self.outcomes[item.id] = await self.checkpoint.once(_OUTCOME, measure, *parts)
        except InputError as error:
            self.failed[item.id] = str(error)

    async def _measured(self, item: GoldQuestion) -> QuestionOutcome:
        return _outcome(self.dataset, await self.system(item))


def _outcome(dataset: QuestionSet, measured: MeasuredAnswer) -> QuestionOutcome:
    answer = measured.answer
    if answer.abstained:
        return QuestionOutcome(
            text="",
            evidence=measured.evidence,
            verbatim=None,
            support=None,
            seconds=measured.seconds,
        )
    exact = [
        citation.uri in dataset.paragraphs
        and dataset.paragraphs[citation.uri].text[citation.start : citation.end] == citation.quote
        for citation in answer.citations
    ]
    return QuestionOutcome(
        text=answer.text,
        evidence=measured.evidence,
        verbatim=sum(exact) / len(exact) if exact else 0.0,
        support=lexical_support(answer),
        seconds=measured.seconds,
        judged=measured.judged,
        short=answer.text if answer.span is None else answer.span.text,
    )


def _values(
    dataset: QuestionSet, outcomes: Mapping[str, QuestionOutcome]
) -> dict[str, dict[str, float]]:
    """Return every measure's values; those of abstention only if a question has no answer."""
    text = {
        item.id: outcomes[item.id].text if item.id in outcomes else "" for item in dataset.items
    }
    short = {key: outcomes[key].short or said if said else "" for key, said in text.items()}
    answerable = {item.id: item.gold for item in dataset.items if item.gold}
    abstained = {
        item.id: float(item.id not in outcomes or outcomes[item.id].abstained)
        for item in dataset.items
    }
    given = {key: outcome for key, outcome in outcomes.items() if not outcome.abstained}
    every = {
        "f1": {item.id: f1(short[item.id], item.gold) for item in dataset.items},
        "em": {item.id: exact_match(short[item.id], item.gold) for item in dataset.items},
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


def _failures(
    dataset: QuestionSet, outcomes: Mapping[str, QuestionOutcome]
) -> dict[str, list[Example]]:
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


def _failure(item: GoldQuestion, outcome: QuestionOutcome) -> str | None:
    if not item.gold:
        return None if outcome.abstained else ANSWERED_ANYWAY
    if f1(outcome.short, item.gold) >= _RIGHT_ENOUGH or holds(outcome.text, item.gold):
        return None
    return {"missing": NOT_RETRIEVED, "low": RANKED_LOW, "given": NOT_READ}[outcome.evidence]
