"""The results of an evaluation by stage and query, written to JSON and read from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from ragkit.core.errors import InputError
from ragkit.evaluation.stats import Estimate, estimate

Kind: TypeAlias = Literal["retrieval", "qa", "agents"]
PerQuery: TypeAlias = Mapping[str, Mapping[str, float]]
"""`{measure: {query id: value}}`; a measure may leave out queries that it does not apply to."""

LOWER_IS_BETTER = frozenset({"false_abstention", "undecided", "tokens", "steps", "seconds"})
"""Measures whose lower values are better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query that failed, and a description of its failure."""

    query: str
    question: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """The number of queries that failed in one way, with the first of them."""

    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage's measures with intervals, and its latency from query to result.

    Attributes:
        measures: Mean and interval of each measure.
        p50_ms: Median latency.
        p95_ms: Latency that one query in twenty exceeds.
        failed: Query id and reason for each query that could not be run; it scores 0.
        per_query: The values of each query.
        failures: Numbers of failed queries by kind of failure.
        outputs: The output of each query: the first documents, or the answer.
    """

    measures: Mapping[str, Estimate]
    p50_ms: float
    p95_ms: float
    failed: Mapping[str, str]
    per_query: PerQuery = field(default_factory=dict[str, Mapping[str, float]])
    failures: Mapping[str, Failures] = field(default_factory=dict[str, Failures])
    outputs: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The stages' results on a data set.

    Attributes:
        kind: Retrieval, answers (`qa`) or agents.
        dataset: The data set's name.
        corpus: A digest of its documents.
        documents: Number of documents.
        chunks: Number of passages that they were divided into.
        queries: Number of queries.
        stages: The results.
        questions: Each query's text.
        fingerprints: A digest of each query and its judgements or gold answers.
        seed: Of the sample and the intervals.
        notes: Parts of the data that have no part in the figures, or make them lower.
    """

    kind: Kind = "retrieval"
    dataset: str
    corpus: str = ""
    documents: int
    chunks: int
    queries: int
    stages: Mapping[str, StageResult]
    questions: Mapping[str, str] = field(default_factory=dict[str, str])
    fingerprints: Mapping[str, str] = field(default_factory=dict[str, str])
    seed: int = 0
    notes: Sequence[str] = ()


def stage_result(
    per_query: PerQuery,
    seconds: Sequence[float],
    *,
    failed: Mapping[str, str],
    failures: Mapping[str, Failures],
    outputs: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> StageResult:
    """Make a stage's result: mean and interval of every measure with values, p50 and p95."""
    measures = {
        name: estimate(list(values.values()), seed=seed)
        for name, values in per_query.items()
        if values
    }
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000 if len(seconds) else (0.0, 0.0)
    return StageResult(
        measures=measures,
        p50_ms=float(p50),
        p95_ms=float(p95),
        failed=failed,
        per_query=per_query,
        failures=failures,
        outputs=outputs,
    )


def evaluation_json(evaluation: Evaluation) -> dict[str, object]:
    """Return the evaluation as a JSON object, each stage's measures beside its latencies."""
    return {
        "kind": evaluation.kind,
        "dataset": evaluation.dataset,
        "corpus": evaluation.corpus,
        "documents": evaluation.documents,
        "chunks": evaluation.chunks,
        "queries": evaluation.queries,
        "seed": evaluation.seed,
        "notes": evaluation.notes,
        "stages": {
            stage: {
                **result.measures,
                "p50_ms": result.p50_ms,
                "p95_ms": result.p95_ms,
                "failed": result.failed,
                "failures": result.failures,
                "per_query": result.per_query,
                "outputs": result.outputs,
            }
            for stage, result in evaluation.stages.items()
        },
        "questions": evaluation.questions,
        "fingerprints": evaluation.fingerprints,
    }


def save_run(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation as JSON, for `load_run`.

    Raises:
        InputError: The file cannot be written.
    """
    value = to_jsonable_python(evaluation_json(evaluation))
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file and the folders above it.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}.") from error


class SavedStage(BaseModel):
    """A stage of a saved run, as far as a comparison needs it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    per_query: dict[str, dict[str, float]]
    outputs: dict[str, list[str]] = {}


class SavedRun(BaseModel):
    """A saved run, as `ragkit eval --out` writes it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Kind
    dataset: str
    corpus: str
    questions: dict[str, str]
    fingerprints: dict[str, str]
    stages: dict[str, SavedStage]


def load_run(path: Path) -> SavedRun:
    """Read a saved run.

    Raises:
        InputError: The file is missing, or it is not a saved run.
    """
    try:
        return SavedRun.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{str(path)!r} is not a saved run ({where}: {first['msg']}). "
            "Fix: ragkit eval DATASET --out FILE"
        ) from error
