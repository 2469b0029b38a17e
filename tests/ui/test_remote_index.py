"""The application over a server's index: keys, roles, tenants, a server that is away."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from ragkit.core.settings import AnswerSettings, IndexSettings, Settings
from ragkit.testing.embedder import HashEmbedder
from ragkit.ui.ingestion import Ingestion
from ragkit.ui.options import Options
from ragkit.ui.uploads import Upload
from ragkit.ui.workspace import Workspace, install
from tests.ui.conftest import as_read, filled
from tests.ui.index_server import IndexServer
from tests.ui.test_views import TIMEOUT_S, WHOLE, ask, html_of, open_page

PAGES = ("ask", "documents", "inspect", "evaluate", "agents", "system")
Open = Callable[..., Workspace]

pytestmark = pytest.mark.enable_socket


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[IndexServer]:
    """A running server."""
    server = IndexServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(name="open_with")
def _open_with(server: IndexServer, tmp_path: Path) -> Iterator[Open]:
    """Opens the application over the server's index, with a key."""
    opened: list[Workspace] = []

    def open_with(key: str, tenant: str | None = None) -> Workspace:
        settings = Settings(
            index=IndexSettings(location=server.location, api_key=SecretStr(key), retry_s=0.2),
            answer=AnswerSettings(mode="extractive", threshold=0.0),
        )
        options = Options(data=tmp_path / "data", tenant=tenant)
        opened.append(Workspace(options, settings=settings, embedder=HashEmbedder()))
        return opened[-1]

    yield open_with
    for workspace in opened:
        workspace.close()


def loaded(workspace: Workspace) -> Workspace:
    """Load everything, and install the workspace."""
    workspace.start()
    assert workspace.models.wait(TIMEOUT_S)
    install(lambda: workspace)
    return workspace


def test_every_page_works_and_none_shows_the_key(server: IndexServer, open_with: Open) -> None:
    secret = server.key("write")
    workspace = filled(open_with(secret))
    for page in PAGES:
        app = open_page(workspace, page)
        assert not app.exception
        assert not app.error
        assert secret not in repr(app.main) + html_of(app)
    assert "Add documents" in [one.label for one in open_page(workspace, "documents").expander]
    assert "rk-answered" in html_of(ask(open_page(workspace, "ask"), "How long do refunds take?"))


def test_a_key_that_only_reads_shows_no_way_to_change_documents(
    server: IndexServer, open_with: Open
) -> None:
    filled(open_with(server.key("write")))
    workspace = loaded(open_with(server.key("read")))
    assert not workspace.writable
    app = open_page(workspace, "documents")
    assert not app.error
    assert not app.expander
    assert "3 documents" in app.markdown[0].value
    assert "rk-answered" in html_of(ask(open_page(workspace, "ask"), "How long do refunds take?"))


def test_a_key_of_another_tenant_and_an_unknown_key_say_what_to_do(
    server: IndexServer, open_with: Open
) -> None:
    sales = server.key("write", tenant="sales")
    for key, wanted in (
        (sales, "Fix: choose that tenant (--tenant, RAGKIT_TENANT)"),
        ("rk-wrong", "Fix: set index.api_key (RAGKIT_INDEX__API_KEY)"),
    ):
        loaded(open_with(key))
        app = AppTest.from_string(WHOLE, default_timeout=TIMEOUT_S).run()
        assert not app.exception
        assert wanted in as_read(app.error[0].value)
        assert app.button(key="retry-index")
        assert key not in repr(app.main)
    mine = filled(open_with(sales, tenant="sales"))
    assert len(mine.documents()) == 3


def test_a_server_that_is_away_is_a_sentence_on_each_page_until_it_is_back(
    server: IndexServer, open_with: Open
) -> None:
    workspace = filled(open_with(server.key("write")))
    server.stop()
    for page in ("documents", "inspect", "system"):
        app = open_page(workspace, page)
        assert not app.exception
        assert "Fix: ragkit serve, or correct the URL." in as_read(app.error[0].value)
    assert "index.location" in html_of(open_page(workspace, "system"))
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    assert not app.exception
    assert "Fix: ragkit serve" in as_read(app.error[0].value)
    assert "How long do refunds take?" in html_of(app)
    server.start()
    assert not open_page(workspace, "documents").error
    assert "rk-answered" in html_of(ask(app, "How long do refunds take?"))


def test_an_upload_while_the_server_is_away_says_so_and_is_taken_once_it_is_back(
    server: IndexServer, open_with: Open
) -> None:
    workspace = filled(open_with(server.key("write")))
    upload = Upload(name="lighthouse.md", data=b"The lighthouse is 41 metres high.")
    server.stop()
    workspace.ingestion = Ingestion(workspace, uploads=[upload])
    assert workspace.ingestion.job.wait(TIMEOUT_S)
    app = open_page(workspace, "documents")
    assert not app.exception
    assert "Fix: ragkit serve" in as_read(app.error[0].value)
    server.start()
    workspace.ingestion = Ingestion(workspace, uploads=[upload])
    assert workspace.ingestion.job.wait(TIMEOUT_S)
    assert "uploads/lighthouse.md" in [one.uri for one in workspace.documents()]
