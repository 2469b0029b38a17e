from pathlib import Path

from ragkit.core.sync import run_sync
from ragkit.testing.embedder import HashEmbedder
from ragkit.ui.options import Options
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import ui_settings
from tests.ui.test_views import open_page


def test_the_sliders_begin_at_settings_of_zero(tmp_path: Path) -> None:
    settings = ui_settings()
    zero = {"dense_weight": 0.0, "mmr_lambda": 0.0, "rerank_weight": 0.0}
    reranker = settings.reranker.model_copy(update={"model": "cross-encoder:x"})
    settings = settings.model_copy(
        update={"retrieval": settings.retrieval.model_copy(update=zero), "reranker": reranker}
    )
    workspace = Workspace(Options(data=tmp_path), settings=settings, embedder=HashEmbedder())
    app = open_page(workspace, "inspect")
    assert not app.exception
    for name in ("dense", "lambda", "rshare"):
        assert app.slider(key=name).value == 0.0
    assert app.slider(key="bm25").value == 1.0
    workspace.close()


def test_a_document_that_another_writer_deletes_is_no_hit_any_more(workspace: Workspace) -> None:
    app = open_page(workspace, "inspect")
    app.text_input(key="q").set_value("refunds").run()
    assert any("Refunds" in option for option in app.selectbox(key="hit").options)
    run_sync(lambda: workspace.rag.delete(["shop/refunds.md"]))
    app.run()
    assert not app.exception
    assert not any("Refunds" in option for option in app.selectbox(key="hit").options)
