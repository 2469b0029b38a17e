"""Fit the weights of `ragkit.answering.snippet` on half of the questions of the judged sets.

    python -m training.calibrate_snippet DATA [--count 60] [--sets squad,clapnq]

Every set is ingested and its questions are asked through hybrid search (`training/answer_sets.py`):
with the answer among the hits, with the passages of the answer taken away, and on other topics.
`RANKING` puts the units that answer before the others of their question; a set that judges passages
only says that one of their units is right. `CONFIDENCE` estimates from the best unit whether it is
right. Prints both to copy; `benchmarks/answers.py` measures on the other half of the questions.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from ragkit import AsyncRAG, Settings
from ragkit.answering.features import LinearScore
from ragkit.answering.snippet import ALONE
from ragkit.answering.unit_features import FORM, UnitCandidate, UnitFeatures, UnitReader
from ragkit.models.cross_encoder import packaged_cross_encoder
from training.answer_sets import AnswerSet, JudgedQuestion, answer_sets

NAMES = [field.name for field in fields(UnitFeatures)]
SURE = ("squad", "clapnq", "chunking_eval")
"""Sets that judge sentences, which weigh more than those that judge passages."""
_PASSAGES_ONLY = 0.5
_HITS = 5
_CANDIDATES = 12
_PENALTY = 0.05
SURE_OF = ("similarity", "context_coverage", "relevance", "margin")
"""The features that `CONFIDENCE` weighs; others add nothing to it."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedUnits:
    """The units found for a question.

    Attributes:
        dataset: The set of the question.
        kind: Whether the documents answer it.
        passages: The number of the passage of each unit.
        features: Features of each unit, `[units, features]`.
        form: What the form of each adds to its score, `[units]`.
        right: Which units answer it.
    """

    dataset: str
    kind: str
    passages: npt.NDArray[np.int64]
    features: Vector
    form: Vector
    right: npt.NDArray[np.bool_]


async def rate(judged: AnswerSet, *, count: int) -> list[RatedUnits]:
    """Ask the questions of a set and rate the units of the hits."""
    rated: list[RatedUnits] = []
    with TemporaryDirectory() as folder:
        async with AsyncRAG(Settings(), index=Path(folder) / "index") as rag:
            await rag.ingest(*judged.documents)
            reader = UnitReader(model=packaged_cross_encoder(), embedder=rag.embedder)
            for item in judged.sampled("fit", count=count):
                hits = list(await rag.search(item.query, k=_CANDIDATES))
                chosen = item.near(hits, _HITS) if item.kind == "near" else hits[:_HITS]
                units = await reader.read(item.query, chosen)
                found = [one for passage in units for one in passage]
                if found:
                    rated.append(rated_units(judged.name, item, found))
    return rated


def rated_units(dataset: str, item: JudgedQuestion, found: Sequence[UnitCandidate]) -> RatedUnits:
    """Return the features of the units, and which of them answer the question."""
    chunks = [*dict.fromkeys(one.hit.chunk.id for one in found)]
    return RatedUnits(
        dataset=dataset,
        kind=item.kind,
        passages=np.array([chunks.index(one.hit.chunk.id) for one in found]),
        features=np.array([[getattr(one.features, name) for name in NAMES] for one in found]),
        form=np.array([FORM.score(one.form) for one in found]),
        right=np.array(
            [
                item.answered_by(
                    one.hit.chunk.uri,
                    one.hit.chunk.start + one.unit.start,
                    one.hit.chunk.start + one.unit.end,
                    one.unit.text,
                )
                for one in found
            ]
        ),
    )


def fit_ranking(rated: Sequence[RatedUnits]) -> LinearScore:
    """Fit weights that put right units before the others of their question (conditional logit)."""
    groups = [item for item in rated if item.right.any() and not item.right.all()]
    spread = np.concatenate([item.features for item in groups]).std(axis=0) + 1e-6

    def loss(weights: Vector) -> tuple[float, Vector]:
        total, slope = 0.0, np.zeros_like(weights)
        for item in groups:
            share = 1.0 if item.dataset in SURE else _PASSAGES_ONLY
            rows = item.features / spread
            scores = rows @ weights + item.form
            odds = np.exp(scores - scores.max())
            right = odds * item.right
            total -= share * float(np.log(right.sum() / odds.sum() + 1e-300))
            slope += share * (odds @ rows / odds.sum() - right @ rows / (right.sum() + 1e-300))
        penalty = _PENALTY * len(groups)
        return total + penalty * float(weights @ weights), slope + 2 * penalty * weights

    found = minimize(loss, np.zeros(len(NAMES)), jac=True)
    return linear(dict(zip(NAMES, found.x / spread, strict=True)))


def fit_confidence(rated: Sequence[RatedUnits], ranking: LinearScore) -> LinearScore:
    """Fit the probability that the best unit is right."""
    every = [*NAMES, "margin"]
    columns = [every.index(name) for name in SURE_OF]
    rows = np.array([answer_row(item, ranking) for item in rated])[:, columns]
    right = np.array([item.right[best(item, ranking)] for item in rated])
    centre, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    model = LogisticRegression(C=0.1, max_iter=1000).fit((rows - centre) / spread, right)
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - weights @ centre)
    return linear(dict(zip(SURE_OF, weights, strict=True)), bias=bias)


def scores(item: RatedUnits, ranking: LinearScore) -> Vector:
    """Return the score of each unit."""
    return item.form + item.features @ np.array([ranking.weights.get(name, 0.0) for name in NAMES])


def best(item: RatedUnits, ranking: LinearScore) -> int:
    """Return the position of the unit that is ranked first."""
    return int(scores(item, ranking).argmax())


def answer_row(item: RatedUnits, ranking: LinearScore) -> Vector:
    """Return the features of the best unit and its margin over other passages."""
    first, found = best(item, ranking), scores(item, ranking) - item.form
    others = found[item.passages != item.passages[first]]
    margin = found[first] - others.max() if len(others) else ALONE
    return np.append(item.features[first], margin)


def linear(weights: Mapping[str, float], *, bias: float = 0.0) -> LinearScore:
    """Return a score with its weights rounded."""
    rounded = {name: round(float(value), 2) for name, value in weights.items()}
    return LinearScore(rounded, bias=round(bias, 2))


def main() -> None:
    """Fit and print the constants to copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=60, help="answerable questions of each set")
    parser.add_argument("--sets", default="", help="names of sets, all where left out")
    options = parser.parse_args()
    loaders = answer_sets(options.data)
    rated: list[RatedUnits] = []
    for name in options.sets.split(",") if options.sets else loaders:
        rated += asyncio.run(rate(loaders[name](), count=options.count))
    ranking = fit_ranking(rated)
    print(f"RANKING = {ranking}\nCONFIDENCE = {fit_confidence(rated, ranking)}")
    for name in sorted({item.dataset for item in rated}):
        known = [item for item in rated if item.dataset == name and item.kind == "answerable"]
        first = np.mean([item.right[best(item, ranking)] for item in known])
        print(f"{name:16} first unit right {first:.3f} of {len(known)}, on the data of the fit")


if __name__ == "__main__":
    main()
