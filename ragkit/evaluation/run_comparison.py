"""Comparison of two saved runs: every measure, and the queries that changed most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.evaluation.runs import LOWER_IS_BETTER, SavedRun, SavedStage
from ragkit.evaluation.stats import Comparison, compare

CHANGED = 20
"""Maximum number of changed queries that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryChange:
    """A query whose value changed, with the output of each run."""

    query: str
    question: str
    a: float
    b: float
    output_a: tuple[str, ...]
    output_b: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageComparison:
    """A stage of A against a stage of B.

    Attributes:
        stage_a: The stage of A.
        stage_b: The stage of B.
        measures: Of each measure that both have.
        verdicts: The measures' results as sentences.
        changed: Queries by the change of the first measure, the largest first.
        differences: B minus A of the first measure for each query, ascending.
    """

    stage_a: str
    stage_b: str
    measures: Mapping[str, Comparison]
    verdicts: Mapping[str, str]
    changed: tuple[QueryChange, ...]
    differences: tuple[float, ...]

    @property
    def measure(self) -> str:
        """The first measure."""
        return next(iter(self.measures))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The comparison of two runs, with `notes` on its limits."""

    dataset: str
    queries: int
    notes: tuple[str, ...]
    stages: tuple[StageComparison, ...]


def compare_runs(
    a: SavedRun, b: SavedRun, *, stages: Sequence[tuple[str, str]] | None = None, seed: int = 0
) -> RunComparison:
    """Compare two runs over the same documents on the queries that both have.

    Args:
        a: The first run.
        b: The second run, which may be the first one again.
        stages: Pairs of a stage of A and one of B; by default those of the same name, or the
            only one of each.
        seed: Of intervals and tests.

    Raises:
        InputError: The runs are over different data, or have no stage or query in common.
    """
    notes = _check_same_data(a, b)
    pairs = stages or _pairs(a, b)
    for name, run, side in [(x, a, "A") for x, _ in pairs] + [(y, b, "B") for _, y in pairs]:
        if name not in run.stages:
            raise InputError(f"Run {side} has no stage {name!r}; it has {', '.join(run.stages)}.")
    return RunComparison(
        dataset=a.dataset,
        queries=len(_common(a, b)),
        notes=tuple(notes),
        stages=tuple(_compare_stages(a, b, pair, seed) for pair in pairs),
    )


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Read `stage` or `stage of A:stage of B`, separated by commas."""
    named = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    return [(first, second if colon else first) for first, colon, second in named]


def _common(a: SavedRun, b: SavedRun) -> list[str]:
    return [query for query in a.questions if query in b.questions]


def _check_same_data(a: SavedRun, b: SavedRun) -> list[str]:
    if (a.kind, a.corpus) != (b.kind, b.corpus):
        raise InputError(
            f"The runs are over different data and cannot be compared: {a.kind} on {a.dataset!r}, "
            f"{b.kind} on {b.dataset!r}, whose documents differ."
        )
    common = _common(a, b)
    if not common:
        raise InputError(
            "The two runs have no query in common. Fix: use the same --limit and --seed."
        )
    other = [query for query in common if a.fingerprints.get(query) != b.fingerprints.get(query)]
    if other:
        raise InputError(
            f"{len(other)} queries have the same id but another text or judgement, the first is "
            f"{other[0]!r}. Fix: measure both runs on the same data set."
        )
    if len(common) == len(a.questions) == len(b.questions):
        return []
    return [
        f"only the {len(common)} queries in common are compared; A has {len(a.questions)} and B "
        f"{len(b.questions)}"
    ]


def _pairs(a: SavedRun, b: SavedRun) -> list[tuple[str, str]]:
    shared = [stage for stage in a.stages if stage in b.stages]
    if shared:
        return [(stage, stage) for stage in shared]
    if len(a.stages) == len(b.stages) == 1:
        return [(next(iter(a.stages)), next(iter(b.stages)))]
    raise InputError(
        f"The runs have no stage in common: A has {', '.join(a.stages)}, B {', '.join(b.stages)}. "
        "Fix: name the pair, such as --stages bm25:hybrid"
    )


def _compare_stages(a: SavedRun, b: SavedRun, pair: tuple[str, str], seed: int) -> StageComparison:
    first, second = a.stages[pair[0]], b.stages[pair[1]]
    measures = {
        name: compare(
            values, second.per_query[name], seed=seed, lower_is_better=name in LOWER_IS_BETTER
        )
        for name, values in first.per_query.items()
        if set(values) & set(second.per_query.get(name, ()))
    }
    if not measures:
        raise InputError(f"{pair[0]!r} of A and {pair[1]!r} of B have no measure in common.")
    changes = _changes(a, first, second, next(iter(measures)))
    return StageComparison(
        stage_a=pair[0],
        stage_b=pair[1],
        measures=measures,
        verdicts={name: item.verdict for name, item in measures.items()},
        changed=tuple(item for item in changes[:CHANGED] if item.a != item.b),
        differences=tuple(sorted(item.b - item.a for item in changes)),
    )


def _changes(
    run: SavedRun, first: SavedStage, second: SavedStage, measure: str
) -> list[QueryChange]:
    """Return every query, the largest change first."""
    before, after = first.per_query[measure], second.per_query[measure]
    changes = [
        QueryChange(
            query=query,
            question=run.questions.get(query, ""),
            a=before[query],
            b=after[query],
            output_a=tuple(first.outputs.get(query, ())),
            output_b=tuple(second.outputs.get(query, ())),
        )
        for query in before
        if query in after
    ]
    return sorted(changes, key=lambda item: -abs(item.b - item.a))
