"""Fit the weights of `ragkit.answering.reader` on SQuAD articles that training left out.

    python -m training.calibrate_reader WEIGHTS.onnx squad-train-part-v1.1.json squad-dev-v1.1.json

Paragraphs are ingested and questions on them asked through hybrid search. A third of the
questions is answerable; from the hits of another third, passages with the answer are taken away
(near passages); the last third is about articles that are not in the index. Weights are fitted on
the first file's articles that training left out, and measured on the second file.
"""

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from ragkit import AsyncRAG, Settings
from ragkit.answering.features import LinearScore
from ragkit.answering.reader import ReaderAnswerer, SpanCandidate, SpanFeatures
from ragkit.core.settings import AnswerSettings
from ragkit.evaluation.answer_metrics import f1, holds
from ragkit.models.cross_encoder import CrossEncoderModel
from ragkit.retrieval.results import Hits
from training.questions import Question, document, held_out, squad

FALSE_ABSTENTION = 0.10
"""Share of answerable questions that the threshold may turn away, on the data of the fit."""
_ARTICLES = 6
_RIGHT = 0.5
NAMES = [field.name for field in fields(SpanFeatures)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question of a kind, with the spans found; `scores[i]` is the F1 of `found[i]`."""

    kind: str
    found: tuple[SpanCandidate, ...]
    scores: tuple[float, ...]


async def ask(
    model: CrossEncoderModel, known: Sequence[Question], other: Sequence[Question], *, count: int
) -> list[Asked]:
    """Ask `count` questions of each kind; `other` are about what is not in the index."""
    draw = random.Random(0)
    asked: list[Asked] = []
    with TemporaryDirectory() as folder:
        async with AsyncRAG(Settings(), index=Path(folder) / "index") as rag:
            reader = ReaderAnswerer(model, rag.embedder, settings=AnswerSettings())
            paragraphs = {(item.title, item.text) for item in known}
            await rag.ingest(*(document(title, text) for title, text in sorted(paragraphs)))
            sampled = draw.sample(list(known), 2 * count)
            kinds = [("answerable", item) for item in sampled[:count]]
            kinds += [("near", item) for item in sampled[count:]]
            kinds += [("absent", item) for item in draw.sample(list(other), count)]
            for kind, item in kinds:
                gold: Sequence[str] | None = item.answers
                hits = await rag.search(item.query, k=10 if kind == "near" else 5)
                if kind == "near":
                    hits = Hits(
                        [hit for hit in hits if not holds(hit.chunk.text, item.answers)][:5]
                    )
                found = await reader.candidates(item.query, hits)
                gold = gold if kind == "answerable" else None
                scores = [0.0 if gold is None else f1(one.text, gold) for one in found]
                if found:
                    asked.append(Asked(kind=kind, found=tuple(found), scores=tuple(scores)))
    return asked


def fit_ranking(asked: Sequence[Asked]) -> LinearScore:
    """Fit weights that put a right span before the others of its question (conditional logit)."""
    groups = [
        (np.array([row(one) for one in item.found]), np.array(item.scores) > _RIGHT)
        for item in asked
        if any(score > _RIGHT for score in item.scores)
    ]

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for rows, right in groups:
            scores = rows @ weights
            total += float(np.logaddexp.reduce(scores) - np.logaddexp.reduce(scores[right]))
        return total + 0.01 * float(weights @ weights)

    return linear(minimize(loss, np.zeros(len(NAMES))).x)


def fit_confidence(asked: Sequence[Asked], ranking: LinearScore) -> LinearScore:
    """Fit weights of the best span that estimate whether the hits hold an answer.

    The bias is moved so that a threshold of 0.5 turns away `FALSE_ABSTENTION` of the answerable.
    """
    rows = np.array([row(best(item, ranking)) for item in asked])
    known = np.array([item.kind == "answerable" for item in asked])
    model = LogisticRegression(C=10, max_iter=1000).fit(rows, known)
    scores = rows @ model.coef_[0]
    return linear(model.coef_[0], bias=-float(np.quantile(scores[known], FALSE_ABSTENTION)))


def row(found: SpanCandidate) -> tuple[float, ...]:
    """Return the features that weights apply to."""
    return astuple(found.features)


def linear(values: np.ndarray, *, bias: float = 0.0) -> LinearScore:
    """Return weights by name, rounded."""
    pairs = zip(NAMES, values, strict=True)
    return LinearScore({name: round(float(value), 3) for name, value in pairs}, bias=round(bias, 3))


def best(item: Asked, ranking: LinearScore) -> SpanCandidate:
    """Return the span that is ranked first."""
    return max(item.found, key=lambda one: ranking.score(one.features))


def measure(
    asked: Sequence[Asked], ranking: LinearScore, confidence: LinearScore
) -> dict[str, float]:
    """Return F1 of the best span, and the share of each kind of question that is turned away."""
    figures: dict[str, float] = {}
    for kind in ("answerable", "near", "absent"):
        group = [item for item in asked if item.kind == kind]
        away = [confidence.score(best(item, ranking).features) < 0 for item in group]
        figures[f"abstains, {kind}"] = float(np.mean(away))
    known = [item for item in asked if item.kind == "answerable"]
    first = [item.scores[item.found.index(best(item, ranking))] for item in known]
    figures["F1"] = float(np.mean(first))
    figures["F1 of the best of five"] = float(np.mean([max(item.scores) for item in known]))
    return figures


def main() -> None:
    """Fit on articles kept from training, measure on the development file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--count", type=int, default=200, help="questions of each kind")
    options = parser.parse_args()
    model = CrossEncoderModel(options.weights)
    train = list(squad(options.train))
    kept = held_out({item.title for item in train})
    inside = [item for item in train if item.title in kept]
    outside = [item for item in train if item.title not in kept]
    asked = asyncio.run(ask(model, inside, outside, count=options.count))
    ranking = fit_ranking(asked)
    confidence = fit_confidence(asked, ranking)
    print(f"RANKING = {ranking}\nCONFIDENCE = {confidence}")
    test = list(squad(options.test))
    titles = sorted({item.title for item in test})
    chosen = set(random.Random(1).sample(titles, _ARTICLES))
    found = asyncio.run(
        ask(
            model,
            [item for item in test if item.title in chosen],
            [item for item in test if item.title not in chosen],
            count=options.count,
        )
    )
    for name, group in (("kept from training", asked), ("development", found)):
        shown = "  ".join(
            f"{key} {value:.3f}" for key, value in measure(group, ranking, confidence).items()
        )
        print(f"{name:20}{shown}")


if __name__ == "__main__":
    main()
