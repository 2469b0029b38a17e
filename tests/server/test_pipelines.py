from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.core.settings import AnswerSettings, Settings
from ragkit.sdk import AsyncRAG
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM, random_replies
from ragkit.testing.server import RIVERS, RunningServer, running_server

CHAT = "/v1/chat/completions"


def asked(model: str, **fields: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "What is the longest river of Europe?"}]
    return {"model": model, "messages": messages, **fields}


@pytest.fixture(name="llm")
def _llm() -> ScriptedLLM:
    """A model that writes any answer of the grammar."""
    return ScriptedLLM(random_replies(3), context=40_000)


@pytest.fixture(name="writing")
async def _writing(tmp_path: Path, llm: ScriptedLLM) -> AsyncIterator[RunningServer]:
    """A server whose answers are written by the model."""
    settings = Settings(answer=AnswerSettings(mode="generative"))
    async with AsyncRAG(
        settings, index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm
    ) as rag:
        await rag.ingest(("rivers.md", RIVERS))
        async with running_server(tmp_path, rag=rag) as server:
            yield server


async def test_the_options_reach_the_model_that_writes_the_answer_under_its_grammar(
    writing: RunningServer, llm: ScriptedLLM
) -> None:
    fields: dict[str, Any] = {"temperature": 0.7, "top_p": 0.5, "seed": 11, "max_tokens": 400}
    response = await writing.http.post(CHAT, json=asked("rag", **fields))
    assert response.json()["usage"]["completion_tokens"] <= 400
    (call,) = llm.calls
    assert call.options == {"strict": True, **fields}
    assert call.grammar is not None
    assert call.max_tokens <= 400


async def test_an_answer_without_options_is_decoded_as_before(
    writing: RunningServer, llm: ScriptedLLM
) -> None:
    await writing.http.post(CHAT, json=asked("rag", temperature=0.7))
    await writing.http.post(CHAT, json=asked("rag"))
    assert [call.options.get("temperature") for call in llm.calls] == [0.7, 0.0]


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"stop": "x"}, "stop", "stop is ['x'], which an answer with quotes cannot honour"),
        ({"max_tokens": 9}, "max_tokens", "only 9 are left. Fix: raise it"),
        ({"max_completion_tokens": 9}, "max_completion_tokens", "max_completion_tokens is 9"),
    ],
)
async def test_an_option_under_which_no_answer_with_quotes_can_be_written_is_refused(
    writing: RunningServer,
    llm: ScriptedLLM,
    fields: dict[str, object],
    param: str,
    message: str,
) -> None:
    response = await writing.http.post(CHAT, json=asked("rag", **fields))
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert message in error["message"]
    assert llm.calls == []


async def test_options_of_a_model_change_no_answer_that_none_writes(server: RunningServer) -> None:
    plain = await server.http.post(CHAT, json=asked("rag"))
    fields: dict[str, Any] = {"temperature": 0.7, "max_tokens": 1, "stop": ["Volga"]}
    limited = await server.http.post(CHAT, json=asked("rag", **fields))
    assert limited.json()["choices"] == plain.json()["choices"]


@pytest.mark.parametrize("extension", [{"where": "year ="}, {"k": 3}, {"hits": True}])
async def test_options_about_documents_are_refused_by_the_model_itself(
    tmp_path: Path, extension: dict[str, object]
) -> None:
    llm = ScriptedLLM([])
    async with running_server(tmp_path, llm=llm) as server:
        response = await server.http.post(CHAT, json=asked("llm", ragkit=extension))
    error = response.json()["error"]
    (name,) = extension
    assert (response.status_code, error["param"]) == (400, f"ragkit.{name}")
    assert "a model without documents cannot honour. Fix: leave it out" in error["message"]
    assert llm.calls == []
