from pathlib import Path

import pytest

from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from tests.docs.page import run_page

PAGES = {
    "start.md": 5,
    "tutorials/support-bot.md": 9,
    "tutorials/database-agent.md": 4,
    "tutorials/laptop-to-servers.md": 10,
    "tutorials/judging-a-change.md": 7,
}
"""Pages whose code runs, with the number of outputs that each shows."""


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch, minilm: Embedder) -> None:
    """The packaged model of the session, which spares each page its loading."""

    def given(settings: EmbedderSettings) -> Embedder:
        return minilm

    monkeypatch.setattr("ragkit.sdk.parts.build_embedder", given)
    monkeypatch.setattr("ragkit.evaluation.retrieval.build_embedder", given)


@pytest.mark.parametrize(("page", "outputs"), PAGES.items())
def test_a_page_does_what_it_says(page: str, outputs: int, tmp_path: Path) -> None:
    assert run_page(page, tmp_path) == outputs
