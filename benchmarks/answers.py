"""Measure answers without a language model: the reader, the extractive answerer and the snippets.

    python -m benchmarks.answers DATA [--count 60] [--sets squad,clapnq]

Each set is ingested and its questions of the half that weights were not fitted on are asked through
hybrid search; a third as many are asked with the passages of the answer taken away ("near"; for
clapnq its own unanswerable questions), and a quarter as many about something else ("absent").
Prints a table and writes `results/answers.json`.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import Row, publish
from ragkit import AsyncRAG, Settings
from ragkit.answering.build import build_answerer
from ragkit.core.protocols import Answerer
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer
from ragkit.evaluation.answer_metrics import f1
from ragkit.retrieval.results import Hits
from training.answer_sets import AnswerSet, JudgedQuestion, answer_sets, words

MODES = ("reader", "extractive", "snippet")
SURE = 0.7
_HITS = 5
_CANDIDATES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer to a judged question; `right` where its first citation, or its text, answers it."""

    item: JudgedQuestion
    answer: Answer

    @property
    def right(self) -> bool:
        """True for a right answer, as far as the set's judgements tell."""
        if self.answer.abstained:
            return False
        if self.item.answers:
            return any(words(gold) in words(self.answer.text) for gold in self.item.answers)
        first = self.answer.citations[0]
        return self.item.answered_by(first.uri, first.start, first.end, first.quote)

    @property
    def wrong_and_sure(self) -> bool:
        """True for a wrong answer with a high confidence."""
        return not self.answer.abstained and not self.right and self.answer.confidence > SURE

    @property
    def short(self) -> str:
        """The short answer, or the whole text where there is none."""
        return self.answer.span.text if self.answer.span else self.answer.text


async def ask(judged: AnswerSet, *, count: int) -> dict[str, list[Given]]:
    """Ask the questions of a set with each answerer."""
    given: dict[str, list[Given]] = {mode: [] for mode in MODES}
    with TemporaryDirectory() as folder:
        async with AsyncRAG(Settings(), index=Path(folder) / "index") as rag:
            await rag.ingest(*judged.documents)
            answerers: dict[str, Answerer] = {
                mode: build_answerer(_settings(mode), embedder=rag.embedder) for mode in MODES
            }
            for item in judged.sampled("test", count=count):
                found = await rag.search(item.query, k=_CANDIDATES)
                hits = Hits(found[:_HITS], surroundings=found.surroundings)
                if item.kind == "near":
                    hits = Hits(item.near(found, _HITS))
                for mode, answerer in answerers.items():
                    answer = await answerer.answer(item.query, hits)
                    given[mode].append(Given(item=item, answer=answer))
    return given


def _settings(mode: str) -> Settings:
    return Settings(answer=AnswerSettings.model_validate({"mode": mode}))


def row(name: str, mode: str, given: Sequence[Given]) -> Row:
    """Return the figures of an answerer on a set."""
    known = [one for one in given if one.item.kind == "answerable"]
    answered = [one for one in known if not one.answer.abstained]
    spans = [one.item.overlap(one.answer.citations) for one in answered if one.item.spans]
    shorts = [f1(one.short, one.item.answers) for one in answered if one.item.answers]
    every = [one for one in given if not one.answer.abstained]
    return {
        "set": name,
        "answers": mode,
        "n": len(known),
        "answered": len(answered) / len(known),
        "right": _mean([one.right for one in answered]),
        "recall": _mean([recall for recall, _ in spans]),
        "precision": _mean([precision for _, precision in spans]),
        "short F1": _mean(shorts),
        "near declined": _declined(given, "near"),
        "absent declined": _declined(given, "absent"),
        "wrong > 0.7": sum(one.wrong_and_sure for one in given) / len(given),
        "calibration error": _calibration(every),
    }


def _mean(values: Sequence[float]) -> float | str:
    return float(np.mean(values)) if values else ""


def _declined(given: Sequence[Given], kind: str) -> float | str:
    return _mean([one.answer.abstained for one in given if one.item.kind == kind])


def _calibration(given: Sequence[Given], bins: int = 5) -> float | str:
    """Return the expected calibration error (Guo et al. 2017) of the answers that were given."""
    if not given:
        return ""
    sure = np.array([one.answer.confidence for one in given])
    right = np.array([float(one.right) for one in given])
    at = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(sure[at == k].mean() - right[at == k].mean()) * (at == k).sum() for k in set(at)]
    return float(sum(gaps) / len(given))


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=60, help="answerable questions of each set")
    parser.add_argument("--sets", default="", help="names of sets, all where left out")
    options = parser.parse_args()
    loaders = answer_sets(options.data)
    rows: list[Mapping[str, str | int | float]] = []
    for name in options.sets.split(",") if options.sets else loaders:
        given = asyncio.run(ask(loaders[name](), count=options.count))
        rows += [row(name, mode, given[mode]) for mode in MODES]
    publish("answers", rows, note=f"up to {options.count} answerable questions a set")


if __name__ == "__main__":
    main()
