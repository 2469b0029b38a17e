from collections.abc import Iterator

import pytest

from ragkit.core.settings import WebSettings
from ragkit.ingest.sources import FileReader
from ragkit.ingest.sources.web import client
from ragkit.testing import web_site
from ragkit.testing.ingestion import IngestBench
from ragkit.testing.web_site import WebSite


@pytest.fixture
def site() -> Iterator[WebSite]:
    with web_site.serving() as site:
        yield site


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> IngestBench:
    """A pipeline that asks without pauses."""
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.0)
    return IngestBench(FileReader(web=WebSettings(delay_s=0, timeout_s=60), max_bytes=200_000))
