"""Evaluations in the background, and the runs that are kept."""

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ragkit.core.progress import Progress
from ragkit.core.settings import Settings
from ragkit.evaluation.answers import AnswerOptions, measure_answers
from ragkit.evaluation.datasets import RetrievalDataset, load_beir, write_beir
from ragkit.evaluation.questions import load_squad
from ragkit.evaluation.retrieval import Stage, measure_retrieval
from ragkit.evaluation.runs import (
    Evaluation,
    SavedRun,
    StageResult,
    load_run,
    save_run,
    stage_result,
)
from ragkit.evaluation.test_sets import GenerationOptions, generate_from_files
from ragkit.ui.background import Job

Measured: TypeAlias = Literal["retrieval", "answers", "made"]
_NO_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationChoices:
    """Choices of an evaluation.

    Attributes:
        measured: Retrieval on a folder in BEIR's layout, answers on a file in SQuAD's, or
            retrieval on a set that is made of the files at `path` first.
        path: Folder or file.
        stages: Stages of retrieval.
        limit: A sample of so many queries; None for all.
        seed: Of the sample and the intervals.
    """

    measured: Measured
    path: Path
    stages: tuple[Stage, ...]
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvaluation:
    """A kept run."""

    path: Path

    @property
    def label(self) -> str:
        """Its time and its data set."""
        return self.path.stem


class EvaluationRun:
    """One evaluation; its run is kept as a file when it is done."""

    def __init__(self, settings: Settings, choices: EvaluationChoices, folder: Path) -> None:
        """Start."""
        self.choices = choices
        self._settings, self._folder = settings, folder
        self._step = Progress(phase="preparing", done=0, total=0)
        self.notes: tuple[str, ...] = ()
        self.job = Job(self._run)

    @property
    def progress(self) -> Progress:
        """The last step."""
        return self._step

    def _on_progress(self, step: Progress) -> None:
        self._step = step

    async def _run(self) -> Path:
        evaluation = await self._evaluation()
        stamp = time.strftime("%Y-%m-%d %H.%M.%S")
        name = _NO_NAME.sub("-", evaluation.dataset)[:40]
        path = self._folder / f"{stamp} {evaluation.kind} {name}.json"
        save_run(evaluation, path)
        return path

    async def _evaluation(self) -> Evaluation:
        choices, settings = self.choices, self._settings
        if choices.measured == "answers":
            questions = load_squad(choices.path).limited(choices.limit, seed=choices.seed)
            measure = functools.partial(measure_answers, settings, questions, AnswerOptions())
        else:
            dataset = await self._dataset()
            measure = functools.partial(measure_retrieval, settings, dataset, choices.stages)
        return await measure(seed=choices.seed, on_progress=self._on_progress)

    async def _dataset(self) -> RetrievalDataset:
        choices = self.choices
        if choices.measured == "retrieval":
            return load_beir(choices.path).limited(choices.limit, seed=choices.seed)
        made, unread = await generate_from_files(
            self._settings,
            [choices.path],
            GenerationOptions(limit=choices.limit, seed=choices.seed),
            on_progress=self._on_progress,
        )
        folder = self._folder / "sets" / time.strftime("%Y-%m-%d-%H%M%S")
        write_beir(made.dataset, folder)
        self.notes = (f"{made.kept} questions of {made.asked} were kept, in {folder}.", *unread)
        return made.dataset


def kept_runs(folder: Path) -> list[KeptEvaluation]:
    """Return the kept runs, the newest first."""
    return [KeptEvaluation(path=path) for path in sorted(folder.glob("*.json"), reverse=True)]


def stage_results(run: SavedRun, *, seed: int = 0) -> dict[str, StageResult]:
    """Return the stages of a kept run with their means and intervals."""
    return {
        name: stage_result(
            stage.per_query, [], failed={}, failures={}, outputs=stage.outputs, seed=seed
        )
        for name, stage in run.stages.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LowQuery:
    """A query with a low value, and what was given for it."""

    query: str
    question: str
    value: float
    output: str


def lowest(run: SavedRun, stage: str, *, count: int = 20) -> list[LowQuery]:
    """Return the queries with the lowest values of the first measure of a stage, below 1."""
    measures = run.stages[stage].per_query
    if not measures:
        return []
    values = sorted(next(iter(measures.values())).items(), key=lambda pair: pair[1])
    return [
        LowQuery(
            query=query,
            question=run.questions.get(query, ""),
            value=value,
            output=", ".join(run.stages[stage].outputs.get(query, ())[:3]),
        )
        for query, value in values[:count]
        if value < 1
    ]


def measure_table(stages: dict[str, StageResult]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of measures with their intervals."""
    names = list(dict.fromkeys(name for result in stages.values() for name in result.measures))
    rows = [
        [
            stage,
            *(
                f"{item.value:.3f} ({item.low:.3f} to {item.high:.3f})"
                if (item := result.measures.get(name)) is not None
                else ""
                for name in names
            ),
        ]
        for stage, result in stages.items()
    ]
    return ["stage", *names], rows


def load_runs(paths: Sequence[Path]) -> list[SavedRun]:
    """Read kept runs.

    Raises:
        InputError: One is gone or holds something else.
    """
    return [load_run(path) for path in paths]
