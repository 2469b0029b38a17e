"""The questions that the reader and reranker learn from, each with the passage that answers it."""

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ragkit import Document

SQUAD = "squad"
PAIRS: Mapping[str, int] = {
    "ares_synthetic": 3500,
    "clapnq_dev": 300,
    "cosqa_dev": 500,
    "fairytaleqa_train": 3000,
    "handbook_headings": 3000,
    "medquad": 3000,
    "nq_gold": 2100,
    "qed_dev": 400,
    "scifact_train": 1000,
    "scitldr": 1500,
    "seal_tools_dev": 1300,
    "strategyqa_facts": 700,
    "tldr_cmd": 1500,
}
"""The most questions taken from each set, so that no set outweighs the others."""
HELD_OUT = 11
"""One article of SQuAD in this many is kept from training, for calibration."""
_LONGEST_WORDS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and the passage that answers it, `text[answer[0]:answer[1]]` if a span does.

    `answers` are all the gold answers that are known.
    """

    dataset: str
    query: str
    title: str
    text: str
    answer: tuple[int, int] | None = None
    answers: tuple[str, ...] = ()


def questions(data: Path, *, seed: int) -> dict[str, list[Question]]:
    """Return the questions of every set, in a fixed random order."""
    draw = random.Random(seed)
    found = {SQUAD: list(squad(data / "qa" / "squad-train-part-v1.1.json"))}
    for name, count in PAIRS.items():
        rows = list(pairs(data / "pairs" / f"{name}.jsonl.gz"))
        found[name] = draw.sample(rows, min(count, len(rows)))
    return found


def held_out(titles: set[str]) -> set[str]:
    """Return the articles that are kept from training."""
    return set(sorted(titles)[::HELD_OUT])


def document(title: str, text: str) -> Document:
    """Return a passage as a document."""
    digest = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()
    return Document(uri=digest[:24], title=title, text=text, content_hash=digest)


def squad(file: Path) -> Iterator[Question]:
    """Yield the questions of a file in SQuAD's layout, with their first answers."""
    for article in json.loads(file.read_bytes())["data"]:
        title = article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            for item in paragraph["qas"]:
                answer = item["answers"][0]
                start = answer["answer_start"]
                yield Question(
                    dataset=SQUAD,
                    query=item["question"].strip(),
                    title=title,
                    text=paragraph["context"],
                    answer=(start, start + len(answer["text"])),
                    answers=tuple({given["text"] for given in item["answers"]}),
                )


def pairs(file: Path) -> Iterator[Question]:
    """Yield questions with a passage each; passages are cut after 400 words."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            text = row["positive"]
            if len(text.split()) > _LONGEST_WORDS:
                text = " ".join(text.split()[:_LONGEST_WORDS])
            yield Question(
                dataset=file.name.partition(".")[0],
                query=row["query"],
                title=row["title"],
                text=text,
            )
