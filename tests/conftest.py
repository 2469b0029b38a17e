import os
import shutil
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from hypothesis import settings

from ragkit import RAG, Settings
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.llm import LocalLLM
from ragkit.models.build import build_embedder
from ragkit.testing import postgres_server
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.vllm_server import VLLMServer, missing, serving, write_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("suite", deadline=None)  # speed is measured in benchmarks
settings.load_profile("suite")

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "examples" / "corpus"
SHARED_DATA = ROOT / ".." / "shared" / "data"

LONG = (
    "vllm",
    "tests/answering/test_corpus.py",
    "tests/test_examples.py",
    "tests/index/test_server_generation.py",
    "tests/ui/test_browser.py",
    "tests/training/test_matryoshka.py",
    "tests/llm/openai/test_llamacpp.py",
    "tests/agents/tools/test_mcp.py",
    "tests/evaluation/test_retrieval.py",
    "tests/models/test_server.py",
    "tests/ingest/cluster/test_engine.py",
    "tests/test_alerts.py",
    "tests/test_scale.py",
    "tests/test_crash.py",
)
"""The groups of tests that take longest."""


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A new folder, in memory where there is room: making an index waits for the disk 20 times."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**31
    with TemporaryDirectory(dir=memory if roomy else None) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets beside the repository, where they are."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here: it holds the larger data sets")
    return SHARED_DATA


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    """The packaged embedding model."""
    return build_embedder(EmbedderSettings())


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights and its tokenizer."""
    return write_model(tmp_path_factory.mktemp("llm") / "model")


@pytest.fixture(scope="session")
def local_llm(random_model: Path) -> LocalLLM:
    """The random model in this process."""
    return LocalLLM(random_model)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server."""
    if (reason := postgres_server.missing()) is not None:
        pytest.skip(reason)
    with postgres_server.serving() as url:
        yield url


@pytest.fixture(scope="session")
def vllm_server(random_model: Path) -> Iterator[VLLMServer]:
    """A real vLLM server on the CPU, with the random model.

    RAGKIT_TEST_VLLM_URL names one that runs already, as `make vllm` starts it.
    """
    if url := os.environ.get("RAGKIT_TEST_VLLM_URL"):
        yield VLLMServer(url=url, model="random")
        return
    if reason := missing():
        warnings.warn(f"NO TEST AGAINST A REAL vLLM SERVER: {reason}", stacklevel=1)
        pytest.skip(reason)
    with serving(random_model.parent) as server:
        # The first tokens of a server's life take long, for it compiles its sampler.
        asked = [{"role": "user", "content": "x"}]
        body = {"model": server.model, "messages": asked, "max_tokens": 4, "temperature": 1.0}
        url = f"{server.url}/v1/chat/completions"
        httpx.post(url, json=body, timeout=240).raise_for_status()
        yield server


@pytest.hookimpl(tryfirst=True)  # before xdist names the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share the suite among processes by file, and give every test of the server to one of them.

    What takes long goes first, so that no process waits for another one's last file.
    """
    groups: dict[str, str] = {}
    for item in items:
        shared = "vllm_server" in getattr(item, "fixturenames", ())
        groups[item.nodeid] = "vllm" if shared else os.path.relpath(item.path, ROOT)
        item.add_marker(pytest.mark.xdist_group(groups[item.nodeid]))
    places = {group: place for place, group in enumerate(LONG)}
    items.sort(key=lambda item: places.get(groups[item.nodeid], len(LONG)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where the processes would each make what is to be made once."""
    grouped = getattr(session.config.option, "loadgroup", False)
    if grouped and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("This pytest-xdist does not group the tests of this pytest.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the server's log where a test with it fails."""
    report = yield
    server = getattr(item, "funcargs", {}).get("vllm_server")
    if server is not None and report.failed:
        report.sections.append(("vLLM's log", server.tail()))
    return report


@pytest.fixture(scope="session")
def corpus_rag(tmp_path_factory: pytest.TempPathFactory, minilm: Embedder) -> Iterator[RAG]:
    """The example corpus, ingested with the packaged model."""
    location = tmp_path_factory.mktemp("corpus") / "index"
    with RAG(Settings(), index=location, embedder=minilm) as rag:
        report = rag.ingest(CORPUS)
        assert report.ok, report.failed
        yield rag


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK and evaluations embed with the double, which takes no time."""

    def given(settings: EmbedderSettings) -> Embedder:
        return HashEmbedder()

    monkeypatch.setattr("ragkit.sdk.parts.build_embedder", given)
    monkeypatch.setattr("ragkit.evaluation.retrieval.build_embedder", given)


@pytest.fixture
def beir_set(tmp_path: Path) -> Path:
    """A judged set of three documents in the layout of BEIR."""
    folder = tmp_path / "animals"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Zebra", "text": "The zebra has stripes."}\n'
        '{"_id": "d2", "title": null, "text": "A horse gallops."}\n'
        '{"_id": 3, "text": "The lion sleeps."}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "striped zebra"}\n'
        '{"_id": "q2", "text": "galloping horse"}\n'
        '{"_id": "q3", "text": "not judged"}\n'
    )
    (folder / "qrels/test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\nq2\t3\t0\n"
    )
    return folder
