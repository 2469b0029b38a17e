"""`POST /v1/eval`: judged questions measured on the tenant's own documents."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from fastapi import APIRouter, Request

from ragkit.core.types import Answer
from ragkit.evaluation.answer_metrics import exact_match, f1
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.stats import estimate
from ragkit.server.bodies import EvalBody, JudgedQuestion
from ragkit.server.lifetime import while_connected
from ragkit.server.state import Admin, ServerState, State, admitted

router = APIRouter(tags=["evaluation"])

_DEPTH = 100
"""Documents of a ranking."""


@router.post("/v1/eval", summary="Measure search and answers on judged questions")
async def evaluate(body: EvalBody, request: Request, state: State, key: Admin) -> dict[str, Any]:
    """Return nDCG@10, recall@100 and MRR@10 of the documents found, and EM and F1 of the answers.

    Means come with 95% bootstrap intervals. Passages count for their document.
    """
    async with admitted(state, key):
        measured = _measured(body, state, key.tenant)
        return await while_connected(request, measured, seconds=state.request_seconds)


async def _measured(body: EvalBody, state: ServerState, tenant: str) -> dict[str, Any]:
    found: dict[str, Any] = {"object": "evaluation", "questions": len(body.questions)}
    judged = {str(number): one for number, one in enumerate(body.questions) if one.relevant}
    if judged:
        rankings: dict[str, list[str]] = {}
        for number, one in judged.items():
            hits = await state.rag.search(one.question, **body.options(tenant=tenant, k=2 * _DEPTH))
            rankings[number] = list(dict.fromkeys(hit.chunk.uri for hit in hits))[:_DEPTH]
        grades = {number: one.grades for number, one in judged.items()}
        values = await asyncio.to_thread(per_query, grades, rankings)
        found["retrieval"] = await asyncio.to_thread(_summary, judged, values)
    answerable = {str(number): one for number, one in enumerate(body.questions) if one.answers}
    if answerable:
        answers: dict[str, Answer] = {}
        for number, one in answerable.items():
            answers[number] = await state.rag.ask(one.question, **body.options(tenant=tenant))
        said = {
            number: answer.text if answer.span is None else answer.span.text
            for number, answer in answers.items()
        }
        scores = {
            name: {number: measure(said[number], one.answers) for number, one in answerable.items()}
            for name, measure in (("exact_match", exact_match), ("f1", f1))
        }
        found["answers"] = await asyncio.to_thread(_summary, answerable, scores)
        found["answers"]["abstained"] = fmean(answer.abstained for answer in answers.values())
    return found


def _summary(
    questions: Mapping[str, JudgedQuestion], values: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """The means of measures, and the values of each question."""
    return {
        "measures": {
            name: asdict(estimate([of[number] for number in questions]))
            for name, of in values.items()
        },
        "per_question": [
            {"question": one.question, **{name: of[number] for name, of in values.items()}}
            for number, one in questions.items()
        ],
    }
