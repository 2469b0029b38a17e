from typing import Any

import pytest

from ragkit.testing.server import RunningServer


async def evaluated(server: RunningServer, *questions: object, **options: object) -> Any:
    body = {"questions": list(questions), **options}
    response = await server.http.post("/v1/eval", json=body)
    return response.json()


async def test_search_is_measured_on_judged_questions(server: RunningServer) -> None:
    found = await evaluated(
        server,
        {"question": "longest river of Europe", "relevant": ["rivers.md"]},
        {"question": "deepest lake", "relevant": {"lakes.md": 2}},
        {"question": "deepest lake", "relevant": ["no.md"]},
    )
    ndcg = found["retrieval"]["measures"]["ndcg@10"]
    assert ndcg["value"] == pytest.approx(2 / 3)
    assert 0 <= ndcg["low"] < ndcg["value"] < ndcg["high"] <= 1
    assert [one["mrr@10"] for one in found["retrieval"]["per_question"]] == [1, 1, 0]
    assert "answers" not in found


async def test_answers_are_measured(server: RunningServer) -> None:
    river = "The longest river of Europe is the Volga."
    found = await evaluated(
        server, {"question": "What is the longest river of Europe?", "answers": [river]}
    )
    assert found["answers"]["measures"]["exact_match"]["value"] == 1
    assert found["answers"]["abstained"] == 0
    assert "retrieval" not in found


async def test_the_options_of_a_search_count(server: RunningServer) -> None:
    question = {"question": "deepest lake", "relevant": ["lakes.md"]}
    found = await evaluated(server, question, where='uri == "rivers.md"')
    assert found["retrieval"]["measures"]["recall@100"]["value"] == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"questions": []}, {"questions": [{"question": ""}]}, {"question": "x"},
     {"questions": [{"question": "x", "relevant": {"a": -1}}]}],
)  # fmt: skip
async def test_what_is_no_evaluation_is_refused(server: RunningServer, body: object) -> None:
    assert (await server.http.post("/v1/eval", json=body)).status_code == 400
