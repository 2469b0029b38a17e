"""`POST /v1/eval`: judged questions measured on the tenant's own documents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from fastapi import APIRouter, Request

from ragkit.core.types import Answer
from ragkit.evaluation.answer_metrics import exact_match, f1
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.stats import estimate
from ragkit.server.bodies import EvalBody
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
        values = per_query({number: one.grades for number, one in judged.items()}, rankings)
        texts = {number: one.question for number, one in judged.items()}
        found["retrieval"] = _summary(texts, values)
    answerable = {str(number): one for number, one in enumerate(body.questions) if one.answers}
    if answerable:
        answers: dict[str, Answer] = {}
        for number, one in answerable.items():
            answers[number] = await state.rag.ask(one.question, **body.options(tenant=tenant))
        scores = {
            "exact_match": {
                number: exact_match(_said(answer), answerable[number].answers)
                for number, answer in answers.items()
            },
            "f1": {
                number: f1(_said(answer), answerable[number].answers)
                for number, answer in answers.items()
            },
        }
        texts = {number: one.question for number, one in answerable.items()}
        found["answers"] = _summary(texts, scores)
        found["answers"]["abstained"] = fmean(answer.abstained for answer in answers.values())
    return found


def _said(answer: Answer) -> str:
    """The short answer, empty for an abstention."""
    return answer.text if answer.span is None else answer.span.text


def _summary(texts: Mapping[str, str], values: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The means of measures, and the values of each question."""
    return {
        "measures": {name: asdict(estimate(_ordered(of, texts))) for name, of in values.items()},
        "per_question": [
            {"question": text, **{name: of[number] for name, of in values.items()}}
            for number, text in texts.items()
        ],
    }


def _ordered(values: Mapping[str, float], texts: Mapping[str, str]) -> Sequence[float]:
    return [values[number] for number in texts]
