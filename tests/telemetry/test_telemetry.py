import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ragkit import RAG, AsyncRAG, Settings
from ragkit.core.errors import ConfigError
from ragkit.core.operation import Operation
from ragkit.core.settings import IngestSettings, LLMSettings, SqlSettings, TelemetrySettings
from ragkit.telemetry.telemetry import TELEMETRY
from ragkit.testing import HashEmbedder
from tests.telemetry.collector import collecting

pytestmark = pytest.mark.enable_socket
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    TELEMETRY.stop()


def settings_for(url: str, **others: object) -> Settings:
    chosen = {"export": "otlp", "endpoint": url, "timeout_s": 1, **others}
    return Settings(telemetry=TelemetrySettings.model_validate(chosen))


def test_spans_reach_a_collector() -> None:
    with collecting() as collector:
        settings = settings_for(collector.url, service="mine", api_key="MARK-key")
        with RAG(settings, index=":memory:", embedder=HashEmbedder()) as rag:
            rag.ingest(("a.md", "A river."))
            rag.search("river")
        TELEMETRY.stop()
        names = {span.name for span in collector.spans()}
        assert {"ingestion", "retrieval", "embeddings embed"} <= names
        assert collector.services() == {"mine"}
        assert set(collector.paths) == {"/v1/traces"}
        assert {one["authorization"] for one in collector.headers} == {"Bearer MARK-key"}


def test_a_collector_s_password_in_the_url_is_sent_as_basic_and_hidden() -> None:
    with collecting() as collector:
        url = collector.url.replace("://", "://user:MARK-password@") + "/v1/traces"
        settings = settings_for(url, content=True)
        assert "MARK" not in repr(settings)
        with RAG(settings, index=":memory:", embedder=HashEmbedder()) as rag:
            rag.ingest(("a.md", "The MARK-password of a river."))
            rag.search("MARK-password")
        TELEMETRY.stop()
        assert collector.headers[0]["authorization"].startswith("Basic ")
        assert b"MARK" not in b"".join(collector.bodies)


def test_a_secret_that_begins_as_another_does_is_hidden_whole() -> None:
    with collecting() as collector:
        for key in ("team", "team-prod-9f8a7", "team-prod"):
            llm = LLMSettings(model="vllm:http://127.0.0.1:9", api_key=SecretStr(key))
            settings = settings_for(collector.url, content=True)
            TELEMETRY.start(settings.model_copy(update={"llm": llm}))
        with Operation(kind="tool", name="x") as operation:
            operation.content["result"] = lambda: "key team-prod-9f8a7."
        TELEMETRY.stop()
        bodies = b"".join(collector.bodies)
    assert b"key ***." in bodies


def test_the_password_of_a_database_is_hidden_by_itself() -> None:
    with collecting() as collector:
        database = SqlSettings(database="postgresql://reader:MARK-word@127.0.0.1/x", query="select")
        ingest = IngestSettings(sql={"orders": database})
        settings = settings_for(collector.url, content=True)
        TELEMETRY.start(settings.model_copy(update={"ingest": ingest}))
        with Operation(kind="tool", name="x") as operation:
            operation.content["result"] = lambda: "it is MARK-word."
        TELEMETRY.stop()
        assert b"it is ***." in b"".join(collector.bodies)


@pytest.mark.parametrize("answer", ["500", "404", "echo", "drop", "slow"])
def test_a_collector_that_fails_fails_nothing_and_learns_no_secret(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(answer) as collector:
        settings = settings_for(collector.url, api_key=SecretStr("MARK-key"))
        with RAG(settings, index=":memory:", embedder=HashEmbedder()) as rag:
            rag.ingest(("a.md", "A river."))
            assert len(rag.search("river")) == 1
        TELEMETRY.stop()
        assert collector.bodies
    assert "MARK" not in caplog.text


def test_no_collector_fails_nothing() -> None:
    with collecting() as collector:
        url = collector.url
    with RAG(settings_for(url), index=":memory:", embedder=HashEmbedder()) as rag:
        rag.ingest(("a.md", "A river."))
    TELEMETRY.stop()


def test_a_process_has_one_way_to_send_traces() -> None:
    with collecting() as collector:
        AsyncRAG(settings_for(collector.url))
        AsyncRAG(settings_for(collector.url))
        with pytest.raises(ConfigError, match="as other settings say"):
            AsyncRAG(settings_for(collector.url, names="openinference"))


@pytest.mark.parametrize(
    ("endpoint", "said"), [("collector", "Fix: write the URL"), ("ftp://x", "Fix: write the URL")]
)
def test_an_endpoint_that_is_no_url_is_named(endpoint: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AsyncRAG(settings_for(endpoint))


def test_an_unknown_option_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_TELEMETRY__EXPORTER", "otlp")
    with pytest.raises(ConfigError, match=r"telemetry\.exporter"):
        Settings.load()


def run_script(script: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_opentelemetry_s_sdk_is_imported_while_it_is_off() -> None:
    script = """
import sys
from ragkit import RAG
with RAG(index=":memory:") as rag:
    rag.ingest(("a.md", "A river."))
    rag.search("river")
print(sorted(name for name in sys.modules if "telemetry.sdk" in name or "ragkit.telem" in name))
"""
    assert run_script(script) == "[]\n"


def test_a_forked_child_sends_its_own_spans_in_its_parent_s_trace() -> None:
    script = """
import os
from ragkit import Settings
from ragkit.core.operation import Operation
from ragkit.sdk.parts import start_telemetry
from ragkit.telemetry.telemetry import TELEMETRY
start_telemetry(Settings.load())
with Operation(kind="answer"):
    child = os.fork()
    with Operation(kind="grammar", name="child" if child == 0 else "parent"):
        pass
    if child == 0:
        TELEMETRY.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
TELEMETRY.stop()
"""
    with collecting() as collector:
        endpoint = {"RAGKIT_TELEMETRY__ENDPOINT": collector.url}
        run_script(script, RAGKIT_TELEMETRY__EXPORT="otlp", **endpoint)
        spans = collector.spans()
        assert sorted(span.name for span in spans) == [
            "grammar child", "grammar parent", "invoke_workflow",
        ]  # fmt: skip
        assert len({span.trace_id for span in spans}) == 1


def test_a_process_that_ends_without_a_word_sends_what_is_left() -> None:
    script = """
from ragkit import RAG
with RAG(index=":memory:") as rag:
    rag.ingest(("a.md", "A river."))
"""
    with collecting() as collector:
        endpoint = {"RAGKIT_TELEMETRY__ENDPOINT": collector.url}
        run_script(script, RAGKIT_TELEMETRY__EXPORT="otlp", **endpoint)
        assert "ingestion" in {span.name for span in collector.spans()}


def test_spans_are_printed_by_choice() -> None:
    script = """
from ragkit import RAG
with RAG(index=":memory:") as rag:
    rag.ingest(("a.md", "A river."))
"""
    assert '"name": "ingestion"' in run_script(script, RAGKIT_TELEMETRY__EXPORT="console")


def test_the_application_s_own_provider_is_used() -> None:
    script = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
from ragkit import RAG
with RAG(index=":memory:") as rag, trace.get_tracer("mine").start_as_current_span("mine") as mine:
    rag.ingest(("a.md", "A river."))
spans = {span.name: span for span in exporter.get_finished_spans()}
print(spans["ingestion"].parent.span_id == mine.get_span_context().span_id)
"""
    assert run_script(script, RAGKIT_TELEMETRY__EXPORT="application") == "True\n"
