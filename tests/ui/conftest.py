import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragkit import Document
from ragkit.answering.conversations import Owner
from ragkit.core.settings import AnswerSettings, IndexSettings, Settings
from ragkit.core.sync import run_sync
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM
from ragkit.ui.options import Options
from ragkit.ui.workspace import Workspace

REFUNDS = """# Refunds

Refunds are paid within 5 days. <script>alert(1)</script> <b>Bold</b>

## Exceptions

Gift cards are never refunded. Write to refunds@example.com when a refund is late.
"""
DELIVERY = "Parcels are delivered within 3 days by train. A parcel may be refused at the door."
DOCUMENTS = (
    Document.from_text(REFUNDS, uri="shop/refunds.md", title="Refunds"),
    Document.from_text(DELIVERY, uri="shop/delivery.txt", title="Delivery"),
    Document.from_text("The museum opens at nine.", uri="museum.txt", title="Museum"),
)

MakeWorkspace = Callable[..., Workspace]


def ui_settings() -> Settings:
    """Settings under which the sentences of the documents answer, whatever the question."""
    return Settings(
        index=IndexSettings(location=":memory:"),
        answer=AnswerSettings(mode="extractive", threshold=0.0),
    )


def as_read(markdown: str) -> str:
    """The text that stands on the page of Markdown whose signs are escaped."""
    return re.sub(r"\\(.)", r"\1", markdown)


@pytest.fixture(name="make_workspace")
def _make_workspace(tmp_path: Path) -> Iterator[MakeWorkspace]:
    """Makes workspaces that load no model; they are closed in the end."""
    made: list[Workspace] = []

    def make(
        llm: ScriptedLLM | None = None, *, index: str | None = None, read_only: bool = False
    ) -> Workspace:
        settings = ui_settings()
        if llm is not None:
            named = settings.llm.model_copy(update={"model": llm.model})
            settings = settings.model_copy(update={"llm": named})
        chosen = Options(data=tmp_path / "data", index=index, read_only=read_only)
        workspace = Workspace(chosen, settings=settings, embedder=HashEmbedder(), llm=llm)
        made.append(workspace)
        return workspace

    yield make
    for workspace in made:
        workspace.close()


@pytest.fixture(name="workspace")
def _workspace(make_workspace: MakeWorkspace) -> Workspace:
    """A workspace over three small documents, loaded."""
    return filled(make_workspace())


def filled(workspace: Workspace) -> Workspace:
    """Ingest the small documents and wait until everything is loaded."""
    run_sync(lambda: workspace.rag.ingest(*DOCUMENTS))
    workspace.start()
    assert workspace.models.wait(60)
    assert not workspace.models.failures
    return workspace


@pytest.fixture(name="owner")
def _owner() -> Owner:
    return Owner(name="somebody-with-a-long-name", tenant="default")
