"""Clients that ragkit did not write, over HTTP, against a server in its own process."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from ragkit import RAG

QUESTION = "What is the longest river of Europe?"
ROOT = Path(__file__).parents[2]
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


class Process:
    """`ragkit serve` in a process of its own."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        environment = {**os.environ, "RAGKIT_ANSWER__MODE": "extractive", **settings}
        command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        found = re.search(r"http://\S+:\d+", first)
        if found is None:
            raise AssertionError(first + self.process.stderr.read())
        self.url = found[0]
        # The pipe is read on, so that the server never waits for it.
        self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.reader.start()

    def stop(self) -> bool:
        """Ask it to stop, and return whether it did so by itself."""
        self.process.send_signal(signal.SIGTERM)
        with self.process:
            self.reader.join()
            # uvicorn ends by the signal that it was sent, once everything is closed.
            return self.process.wait(timeout=60) in (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ingested document."""
    return ingested(tmp_path_factory.mktemp("serve"))


def ingested(folder: Path) -> Path:
    """Ingest a document into the index of a folder, and return the folder."""
    (folder / "docs").mkdir()
    (folder / "docs/rivers.md").write_text(
        "# Rivers\n\nThe longest river of Europe is the Volga. It flows into the Caspian Sea.\n"
    )
    command = [sys.executable, "-m", "ragkit.cli.main", "ingest", "docs"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def key(folder: Path) -> str:
    """The secret of a key that may read."""
    return new_key(folder, "tests")


def new_key(folder: Path, *arguments: str) -> str:
    """Add a key and return its secret."""
    command = [sys.executable, "-m", "ragkit.cli.main", "keys", "add", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def serving(folder: Path, key: str) -> Iterator[Process]:
    """A server that asks for the key."""
    process = Process(folder)
    yield process
    assert process.stop()


@pytest.fixture(scope="module")
def client(serving: Process, key: str) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def test_the_official_client_reads_models_answers_and_annotations(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["rag"]
    reply = client.chat.completions.create(model="rag", messages=ASKED)
    message = reply.choices[0].message
    assert "Volga" in (message.content or "")
    assert message.annotations is not None
    assert message.annotations[0].url_citation.title == "Rivers"
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 0


def test_the_official_client_reads_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="rag", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Volga" in text
    assert chunks[-1].usage is not None


def test_the_official_client_reads_responses_whole_and_streamed(client: openai.OpenAI) -> None:
    reply = client.responses.create(model="rag", input=QUESTION)
    assert "Volga" in reply.output_text
    with client.responses.stream(model="rag", input=QUESTION) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert final.output_text == reply.output_text


async def test_the_official_client_works_with_await(serving: Process, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{serving.url}/v1", api_key=key) as client:
        found = await client.embeddings.create(model="embedder", input=["a", "b"])
        assert len(found.data) == 2
        assert len(found.data[0].embedding) == 384


LANGCHAIN = """
import sys
from langchain_openai import ChatOpenAI

url, key, name, question = sys.argv[1:]
options = {"base_url": url, "api_key": key, "model": name, "max_tokens": 64, "max_retries": 0}
model = ChatOpenAI(**options)
print(repr(model.invoke(question).content))
print(repr("".join(chunk.content for chunk in model.stream(question))))
turns = [("system", "Be brief."), ("user", "Hello"), ("ai", "Hi"), ("user", question)]
print(repr(model.invoke(turns).content))
responses = ChatOpenAI(**options, use_responses_api=True)
print(repr(responses.invoke(question).text))
"""
LLAMA_INDEX = """
import sys
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

url, key, name, question = sys.argv[1:]
model = OpenAILike(
    api_base=url,
    api_key=key,
    model=name,
    is_chat_model=True,
    context_window=8192,
    max_tokens=64,
    max_retries=0,
)
asked = [ChatMessage(role="user", content=question)]
print(repr(model.chat(asked).message.content))
print(repr(model.complete(question).text))
print(repr("".join(part.delta or "" for part in model.stream_chat(asked))))
"""
CURL = """
curl -sS --fail-with-body "$1/chat/completions" -H "Authorization: Bearer $2" \\
    -H 'Content-Type: application/json' \\
    -d '{"model": "rag", "messages": [{"role": "user", "content": "'"$3"'"}]}'
"""


FRAMEWORKS = pytest.mark.parametrize(
    ("script", "answers"), [(LANGCHAIN, 4), (LLAMA_INDEX, 3)], ids=["langchain", "llama-index"]
)


def said_to(script: str, url: str, key: str, model: str) -> list[str]:
    """Run a client of another framework, and return the texts that it read."""
    python = ROOT / ".venv-clients" / "bin" / "python"
    if not python.exists():
        pytest.skip("the other clients are not installed: make .venv-clients")
    command = [str(python), "-c", script, f"{url}/v1", key, model, QUESTION]
    # Each brings its own packages; this environment's must not stand before them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [str(ast.literal_eval(line)) for line in done.stdout.splitlines()]


@FRAMEWORKS
def test_clients_of_other_frameworks_read_answers_and_streams(
    serving: Process, key: str, script: str, answers: int
) -> None:
    texts = said_to(script, serving.url, key, "rag")
    assert len(texts) == answers
    assert all("Volga" in text for text in texts), texts


def test_curl_as_the_readme_has_it(serving: Process, key: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    command = ["sh", "-c", CURL, "sh", f"{serving.url}/v1", key, QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Volga" in json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_errors_are_those_that_the_official_client_knows(serving: Process, key: str) -> None:
    with (
        openai.OpenAI(base_url=f"{serving.url}/v1", api_key="rk-no", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError),
    ):
        wrong.models.list()
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="gpt-9"):
            client.chat.completions.create(model="gpt-9", messages=ASKED)
        with pytest.raises(openai.BadRequestError, match="n"):
            client.chat.completions.create(model="rag", messages=ASKED, n=3)


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    serving: Process, key: str
) -> None:
    header = {"Authorization": f"Bearer {key}"}
    body = {"model": "rag", "messages": ASKED, "stream": True}
    for _ in range(20):
        with httpx.stream(
            "POST", f"{serving.url}/v1/chat/completions", json=body, headers=header, timeout=60
        ) as response:
            next(response.iter_raw(1))
    while True:
        text = httpx.get(f"{serving.url}/metrics", timeout=60).text
        if "ragkit_running 0.0" in text and "ragkit_waiting 0.0" in text:
            return
        time.sleep(0.05)


def test_a_server_that_is_asked_to_stop_ends_by_itself(folder: Path) -> None:
    process = Process(folder, "--data", "elsewhere")
    job = httpx.get(f"{process.url}/v1/jobs", timeout=60)
    assert job.json()["data"] == []
    assert process.stop()


def test_another_address_than_this_machine_needs_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--host", "0.0.0.0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Fix: ragkit keys add" in done.stderr


def test_several_processes_share_the_embedded_index_of_a_server(
    serving: Process, folder: Path, tmp_path: Path
) -> None:
    secret = new_key(folder, "writer", "--role", "write")
    (tmp_path / "seas.md").write_text("# Seas\n\nThe largest sea is the Philippine Sea.\n")
    index = ["--index", f"ragkit:{serving.url}"]
    environment = {**os.environ, "RAGKIT_INDEX__API_KEY": secret}
    for arguments, wanted in (
        (["ingest", "seas.md"], "1 added"),
        (["search", "largest sea", "--k", "1"], "Philippine"),
        (["list"], "rivers.md"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ragkit.cli.main", *arguments, *index],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert wanted in done.stdout + done.stderr
        assert done.returncode == 0
    with RAG(index=f"ragkit:{serving.url}", api_key=secret) as rag:
        assert "Volga" in rag.ask(QUESTION).text
        seas = [one.uri for one in rag.documents() if one.uri.endswith("seas.md")]
        assert rag.delete(seas) == 1


def test_a_port_in_use_is_one_sentence(serving: Process, folder: Path) -> None:
    port = serving.url.rpartition(":")[2]
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", port]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Fix: choose another --port" in done.stderr


def test_a_second_server_in_the_same_folder_is_refused_and_the_first_goes_on(
    serving: Process, folder: Path
) -> None:
    command = [sys.executable, "-m", "ragkit.cli.main", "serve", "--port", "0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Fix: end the other server that uses it, or name another folder" in done.stderr
    assert httpx.get(f"{serving.url}/readyz", timeout=60).json() == {"status": "ready"}
    assert "Traceback" not in done.stderr


def test_a_job_that_is_stopped_in_the_middle_is_done_after_the_next_start(tmp_path: Path) -> None:
    files = [("files", (f"{name}.txt", "A passage. " * 3_000)) for name in ("a", "b", "c")]
    first = Process(tmp_path)
    job = httpx.post(f"{first.url}/v1/documents", files=files, timeout=60).json()["id"]
    with httpx.stream("GET", f"{first.url}/v1/jobs/{job}/events", timeout=60) as events:
        for line in events.iter_lines():
            if '"progress"' in line:
                break
    assert first.stop()
    second = Process(tmp_path)
    with httpx.stream("GET", f"{second.url}/v1/jobs/{job}/events", timeout=60) as events:
        told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    assert (told[-1]["state"], told[-1]["report"]["failed"]) == ("done", [])
    listed = httpx.get(f"{second.url}/v1/documents", timeout=60).json()["data"]
    assert [one["uri"] for one in listed] == ["a.txt", "b.txt", "c.txt"]
    assert second.stop()


def test_a_key_that_is_removed_ends_no_stream_that_runs_and_begins_no_other(
    serving: Process, folder: Path
) -> None:
    header = {"Authorization": f"Bearer {new_key(folder, 'short-lived')}"}
    url = f"{serving.url}/v1/chat/completions"
    body = {"model": "rag", "messages": ASKED, "stream": True}
    with httpx.stream("POST", url, json=body, headers=header, timeout=60) as response:
        parts = response.iter_text()
        begun = next(parts)
        command = [sys.executable, "-m", "ragkit.cli.main", "keys", "remove", "short-lived"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        assert httpx.post(url, json=body, headers=header, timeout=60).status_code == 401
        assert (begun + "".join(parts)).rstrip().endswith("[DONE]")
