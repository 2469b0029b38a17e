"""Tokens of each pattern on two-hop questions, with a model that takes the gold steps.

Run: python -m benchmarks.agent_tokens [--questions 100] [--data ../shared/data/qa/hotpot100.json]

The model looks up the two paragraphs that hold the answer, and then answers. In the independent
questions (comparisons) both titles are known from the question. In the dependent ones (bridges) the
second is known only from the first paragraph: ReAct and plan-and-execute read it and look it up;
ReWOO plans a search for the question and the first result together, and may find another paragraph
(`found`: the share of questions whose two paragraphs were read). Tokens are those of all prompts
and replies, by the tokenizer of the packaged embedding model. The ReWOO paper (arXiv:2305.18323)
claims a fifth of ReAct's tokens on HotpotQA.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rank_bm25 import BM25Okapi

from benchmarks.report import publish
from ragkit.agents import AgentResult, plan_and_execute, react, rewoo, run
from ragkit.agents.agent import Agent
from ragkit.core.protocols import LLM, Tokenizer, Tool
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import Json
from ragkit.models.build import build_embedder
from ragkit.testing.agents import RecordingTool, joins, refers_to, says_action, says_plan
from ragkit.testing.llm import ScriptedLLM

FACT = 200
SEARCH: Mapping[str, Json] = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}
SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 160}},
    "required": ["title"],
    "additionalProperties": False,
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/qa/hotpot100.json"))
    parser.add_argument("--questions", type=int, default=100)
    arguments = parser.parse_args()
    questions = json.loads(arguments.data.read_text())[: arguments.questions]
    tokenizer = build_embedder(EmbedderSettings()).tokenizer
    rows = asyncio.run(measure(questions, tokenizer))
    publish("agent_tokens", rows, note=f"means over {len(questions)} questions of HotpotQA")


async def measure(questions: Sequence[Any], tokenizer: Tokenizer) -> list[dict[str, str | float]]:
    """A row for each kind of question and each pattern."""
    rows: list[dict[str, str | float]] = []
    for kind, of_type in (("independent", "comparison"), ("dependent", "bridge")):
        asked = [question for question in questions if question["type"] == of_type]
        found = [await _measured(name, asked, tokenizer, kind) for name in PATTERNS if asked]
        rows += [{**row, "ReAct / this": _ratio(found[0], row)} for row in found]
    return rows


def _ratio(first: Mapping[str, str | float], row: Mapping[str, str | float]) -> float:
    return float(first["all tokens"]) / float(row["all tokens"])


async def _measured(
    name: str, questions: Sequence[Any], tokenizer: Tokenizer, kind: str
) -> dict[str, str | float]:
    make, script = PATTERNS[name]
    if name == "rewoo" and kind == "dependent":
        script = rewoo_search_script
    tokens: list[tuple[int, int]] = []
    calls: list[int] = []
    both = 0
    for question in questions:
        agent = make(ScriptedLLM(list(script(question))), [lookup(question), search(question)])
        result = await run(agent, question["question"])
        if question["answer"] not in result.answer:
            raise SystemExit(f"{name} lost the answer: {result.tree()}")
        tokens.append(count(result, tokenizer))
        calls.append(sum(step.kind == "model" for step in result.steps))
        read = {step.result for step in result.steps if step.kind == "tool"}
        pages = pages_of(question)
        both += all(pages[title] in read for title in titles(question))
    prompt, reply = (mean(pair[place] for pair in tokens) for place in (0, 1))
    return {
        "questions": kind,
        "pattern": name,
        "found": both / len(questions),
        "model calls": mean(calls),
        "prompt tokens": prompt,
        "reply tokens": reply,
        "all tokens": prompt + reply,
    }


def count(result: AgentResult, tokenizer: Tokenizer) -> tuple[int, int]:
    """Tokens of all prompts and of all replies."""
    models = [step for step in result.steps if step.kind == "model"]
    prompts = (message.content for step in models for message in step.prompt)
    return (
        sum(len(tokenizer.token_starts(text)) for text in prompts),
        sum(len(tokenizer.token_starts(step.reply)) for step in models),
    )


def lookup(question: Mapping[str, Any]) -> Tool:
    """A tool that gives the paragraph of a title."""
    pages = pages_of(question)
    return RecordingTool(
        name="lookup",
        description="The first paragraph of the encyclopedia's page with this title.",
        parameters=SCHEMA,
        does=lambda given: pages[str(given["title"])],
    )


def pages_of(question: Mapping[str, Any]) -> dict[str, str]:
    """The paragraphs by their titles."""
    return {title: "".join(sentences) for title, sentences in question["context"]}


def search(question: Mapping[str, Any]) -> Tool:
    """A tool that gives the paragraph that fits a query best, beside those within the query."""
    texts = list(pages_of(question).values())
    ranking = BM25Okapi([_words(text) for text in texts])

    def best(given: Mapping[str, Json]) -> Json:
        query = str(given["query"])
        scores = ranking.get_scores(_words(query))
        ranked = sorted(zip(scores, texts, strict=True), key=lambda pair: -pair[0])
        return next((text for _, text in ranked if text not in query), "Nothing else.")

    return RecordingTool(
        name="search",
        description="The paragraph that fits a text best, beside those that are in the text.",
        parameters=SEARCH,
        does=best,
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def titles(question: Mapping[str, Any]) -> tuple[str, str]:
    """The two pages that hold the answer."""
    found = list(dict.fromkeys(question["gold"]))
    return found[0], found[-1]


def gold(question: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The sentences that hold the answer: title and number."""
    yield from zip(question["gold"], question["gold_sent"], strict=True)


def react_script(question: Mapping[str, Any]) -> Iterator[str]:
    """A lookup, another, and the answer."""
    one, two = titles(question)
    yield says_action(f"I look up {one} first.", ("lookup", {"title": one}))
    yield says_action(f"Now I need {two}.", ("lookup", {"title": two}))
    yield says_action("Both pages answer it.", ("finish", {"answer": question["answer"]}))


def rewoo_script(question: Mapping[str, Any]) -> Iterator[str]:
    """Both lookups in one plan, and the answer."""
    yield says_plan(*(("lookup", {"title": title}) for title in titles(question)))
    yield question["answer"]


def rewoo_search_script(question: Mapping[str, Any]) -> Iterator[str]:
    """A lookup, a search for the question and its result, and the answer."""
    text = joins(f"{question['question']} ", refers_to("#E1"))
    yield says_plan(("lookup", {"title": titles(question)[0]}), ("search", {"query": text}))
    yield question["answer"]


def plan_script(question: Mapping[str, Any]) -> Iterator[str]:
    """Two tasks, each a lookup and its result, and the answer."""
    one, two = titles(question)
    steps: list[Json] = [
        {"task": f"Read {one}.", "needs": []},
        {"task": f"Read {two}.", "needs": [1]},
    ]
    yield json.dumps({"thought": "", "steps": steps}, separators=(",", ":"), ensure_ascii=False)
    pages = dict(question["context"])
    facts = {title: pages[title][place] for title, place in gold(question)}
    for title in (one, two):
        yield says_action(f"I look up {title}.", ("lookup", {"title": title}))
        fact = facts[title].strip().replace('"', "'")[:FACT]
        yield says_action("It says this.", ("finish", {"answer": fact}))
    yield question["answer"]


Make = Callable[[LLM, Sequence[Tool]], Agent]
PATTERNS: Mapping[str, tuple[Make, Callable[[Mapping[str, Any]], Iterator[str]]]] = {
    "react": (react, react_script),
    "rewoo": (rewoo, rewoo_script),
    "plan_and_execute": (plan_and_execute, plan_script),
}


if __name__ == "__main__":
    main()
