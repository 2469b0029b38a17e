"""Clients that ragkit did not write, against `ragkit serve` before a real vLLM server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from ragkit.testing.vllm_server import VLLMServer
from tests.server.test_clients import (
    ASKED,
    FRAMEWORKS,
    QUESTION,
    Process,
    ingested,
    new_key,
    said_to,
)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(tmp_path_factory.mktemp("serve-vllm"))


@pytest.fixture(scope="module", name="key")
def _key(folder: Path) -> str:
    return new_key(folder, "tests")


@pytest.fixture(scope="module", name="serving")
def _serving(folder: Path, key: str, vllm_server: VLLMServer) -> Iterator[Process]:
    """A server that asks for the key, and has the model write its answers."""
    settings = {
        "RAGKIT_ANSWER__MODE": "generative",
        "RAGKIT_LLM__MODEL": f"vllm:{vllm_server.url}",
    }
    process = Process(folder, **settings)
    yield process
    assert process.stop()


@pytest.fixture(name="client")
def _client(serving: Process, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def test_the_model_and_what_rests_on_it_are_offered(
    client: openai.OpenAI, vllm_server: VLLMServer
) -> None:
    names = {model.id for model in client.models.list()}
    assert names == {"rag", "agent-react", "agent-rewoo", "agent-plan", "llm"}


def test_the_official_client_reads_the_model_whole_and_streamed(
    client: openai.OpenAI, vllm_server: VLLMServer
) -> None:
    create = client.chat.completions.create
    whole = create(model="llm", messages=ASKED, max_tokens=12, temperature=0.0)
    assert whole.choices[0].message.content
    assert whole.choices[0].finish_reason in {"length", "stop"}
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    stream = create(
        model="llm",
        messages=ASKED,
        max_tokens=12,
        temperature=0.0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_the_official_client_reads_responses_of_the_model(
    client: openai.OpenAI, vllm_server: VLLMServer
) -> None:
    reply = client.responses.create(model="llm", input=QUESTION, max_output_tokens=12)
    assert reply.output_text
    with client.responses.stream(model="llm", input=QUESTION, max_output_tokens=12) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds
    assert kinds[-1] in {"response.completed", "response.incomplete"}


async def test_a_written_answer_quotes_the_documents_or_abstains(
    serving: Process, key: str, vllm_server: VLLMServer
) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{serving.url}/v1", api_key=key, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(model="rag", messages=ASKED, stream=True)
        parts = [part async for part in stream]
        reply = await client.chat.completions.create(model="rag", messages=ASKED)
    assert [one.choices[0].finish_reason for one in parts if one.choices][-1] is not None
    assert reply.usage is not None
    extension = (reply.model_extra or {})["ragkit"]
    text = httpx.get(
        f"{serving.url}/v1/documents/text",
        params={"uri": "docs/rivers.md"},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    ).text
    quotes = [(one["start"], one["end"], one["quote"]) for one in extension["citations"]]
    assert all(text[start:end] == quote for start, end, quote in quotes)
    assert quotes or extension["abstained"]


@FRAMEWORKS
def test_clients_of_other_frameworks_read_the_model(
    serving: Process, key: str, vllm_server: VLLMServer, script: str, answers: int
) -> None:
    texts = said_to(script, serving.url, key, "llm")
    assert len(texts) == answers
    assert all(texts)
