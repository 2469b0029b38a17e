"""Fit the weights and the threshold of `ragkit.answering.extractive` on SQuAD, and measure them.

Paragraphs of half of the articles are ingested; questions on these are answerable, questions on the
other half are not. Weights are fitted on the training file and measured on the development file:

    python training/calibrate_extractive.py squad-train-part-v1.1.json squad-dev-v1.1.json
"""

import argparse
import asyncio
import hashlib
import json
import random
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression

from ragkit import AsyncRAG, Document, Settings
from ragkit.answering.extractive import ExtractiveAnswerer, SentenceCandidate
from ragkit.answering.features import Features, LinearScore
from ragkit.core.settings import AnswerSettings

FALSE_ABSTENTION = 0.10
"""Share of answerable questions that the threshold may turn away, on the training file."""


class GoldAnswer(BaseModel):
    """A gold answer."""

    text: str


class Question(BaseModel):
    """A question on a paragraph."""

    question: str
    answers: list[GoldAnswer]


class Paragraph(BaseModel):
    """A paragraph with its questions."""

    context: str
    qas: list[Question]


class Article(BaseModel):
    """An article of SQuAD."""

    title: str
    paragraphs: list[Paragraph]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with the candidates found for it; `answers` is empty if it has none."""

    answers: tuple[str, ...]
    candidates: tuple[SentenceCandidate, ...]

    def right(self, candidate: SentenceCandidate) -> bool:
        """Return True if a candidate's sentence contains a gold answer."""
        return any(answer in candidate.quote for answer in self.answers)


async def ask_all(articles: list[Article], *, questions: int, seed: int) -> list[Asked]:
    """Ingest half of the articles and collect candidates for questions on both halves."""
    draw = random.Random(seed)
    draw.shuffle(articles)
    half = len(articles) // 2
    with TemporaryDirectory() as folder:
        async with AsyncRAG(Settings(), index=Path(folder) / "index") as rag:
            await rag.ingest(*(document(article) for article in articles[:half]))
            answerer = ExtractiveAnswerer(rag.embedder, settings=AnswerSettings())
            asked: list[Asked] = []
            for known, group in ((True, articles[:half]), (False, articles[half:])):
                for question, answers in draw.sample(questions_of(group), questions // 2):
                    hits = await rag.search(question)
                    found = await answerer.candidates(question, hits)
                    gold = answers if known else ()
                    asked.append(Asked(answers=gold, candidates=tuple(found)))
            return asked


def load_articles(file: Path) -> list[Article]:
    """The articles of a file in the layout of SQuAD."""
    return [Article.model_validate(item) for item in json.loads(file.read_bytes())["data"]]


def document(article: Article) -> Document:
    """An article as one document, a paragraph after the other."""
    text = "\n\n".join(part.context for part in article.paragraphs)
    title = article.title.replace("_", " ")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Document(uri=title, title=title, text=text, content_hash=digest)


def questions_of(articles: list[Article]) -> list[tuple[str, tuple[str, ...]]]:
    """Every question with its gold answers."""
    return [
        (qa.question, tuple({answer.text for answer in qa.answers}))
        for article in articles
        for part in article.paragraphs
        for qa in part.qas
    ]


def fit_ranking(asked: list[Asked]) -> LinearScore:
    """Weights that tell sentences with the answer from the others, over answerable questions."""
    rows = [(item, one) for item in asked if item.answers for one in item.candidates]
    features = np.array([astuple(one.features) for _, one in rows])
    labels = np.array([item.right(one) for item, one in rows])
    model = LogisticRegression(C=10, class_weight="balanced").fit(features, labels)
    return weights(model)


def fit_confidence(asked: list[Asked], ranking: LinearScore) -> LinearScore:
    """Weights of the best candidate that tell whether a question has an answer at all.

    The bias is moved so that a threshold of 0.5 turns away `FALSE_ABSTENTION` of the answerable.
    """
    features = np.array([astuple(best(item, ranking).features) for item in asked])
    labels = np.array([bool(item.answers) for item in asked])
    model = LogisticRegression(C=10).fit(features, labels)
    scores = model.decision_function(features)
    shift = float(np.quantile(scores[labels], FALSE_ABSTENTION))
    return weights(model, shift=shift)


def weights(model: LogisticRegression, *, shift: float = 0.0) -> LinearScore:
    """A fitted model's coefficients by name, rounded."""
    found = zip([field.name for field in fields(Features)], model.coef_[0], strict=True)
    named = {name: round(float(weight), 2) for name, weight in found}
    return LinearScore(named, bias=round(float(model.intercept_[0]) - shift, 2))


def best(item: Asked, ranking: LinearScore) -> SentenceCandidate:
    """The candidate that is ranked first."""
    return max(item.candidates, key=lambda one: ranking.score(one.features))


def measure(asked: list[Asked], ranking: LinearScore, confidence: LinearScore) -> dict[str, float]:
    """Hit rates of the first and the first three sentences, and how well abstention works."""
    with_answer = [item for item in asked if item.answers]
    without = [item for item in asked if not item.answers]

    def ranked(item: Asked) -> list[SentenceCandidate]:
        return sorted(item.candidates, key=lambda one: -ranking.score(one.features))

    def abstains(item: Asked) -> bool:
        return confidence.score(best(item, ranking).features) < 0

    count = len(with_answer)
    return {
        "sentence@1": sum(item.right(ranked(item)[0]) for item in with_answer) / count,
        "sentence@3": sum(any(map(item.right, ranked(item)[:3])) for item in with_answer) / count,
        "retrieved": sum(any(map(item.right, item.candidates)) for item in with_answer) / count,
        "false abstention": sum(map(abstains, with_answer)) / count,
        "abstains on unanswerable": sum(map(abstains, without)) / len(without),
    }


def main() -> None:
    """Fit on the first file, measure on both, print the constants to copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sizes = {"questions": options.questions, "seed": options.seed}
    train = asyncio.run(ask_all(load_articles(options.train), **sizes))
    ranking = fit_ranking(train)
    confidence = fit_confidence(train, ranking)
    print(f"RANKING = {ranking}\nCONFIDENCE = {confidence}")
    test = asyncio.run(ask_all(load_articles(options.test), **sizes))
    for name, asked in (("training", train), ("development", test)):
        figures = measure(asked, ranking, confidence)
        print(f"{name:12}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
