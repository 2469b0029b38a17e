import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit import RAG, Settings
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.models.embedding import embedder

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "examples" / "corpus"
SHARED_DATA = ROOT / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets beside the repository, where they are."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here: it holds the larger data sets")
    return SHARED_DATA


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    """The packaged embedding model."""
    return embedder(EmbedderSettings())


@pytest.fixture(scope="session")
def corpus_rag(tmp_path_factory: pytest.TempPathFactory, minilm: Embedder) -> Iterator[RAG]:
    """The example corpus, ingested with the packaged model."""
    location = tmp_path_factory.mktemp("corpus") / "index"
    with RAG(Settings(), index=location, embedder=minilm) as rag:
        report = rag.ingest(CORPUS)
        assert report.ok, report.failed
        yield rag


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
