from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.ui.machine_path import checked_path
from ragkit.ui.workspace import Workspace
from tests.ui.test_views import open_page


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checked_path(" ~/docs ") == tmp_path / "docs"


@pytest.mark.parametrize("text", ["", "  ", "/no/such/folder", "a\x00.txt"])
def test_a_path_with_nothing_there_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"There is nothing at .*Fix: name a file or folder"):
        checked_path(text)


@pytest.mark.parametrize("text", ["~no-such-user/docs", "~\x00", "/" + "x" * 5000])
def test_a_path_that_cannot_be_looked_up_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"cannot be looked up: .*[^.]\. Fix: name") as raised:
        checked_path(text)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("page", "field", "button"),
    [("documents", "path", "Ingest"), ("evaluate", "set-path", "Measure")],
)
def test_a_page_says_that_there_is_no_such_home(
    workspace: Workspace, page: str, field: str, button: str
) -> None:
    app = open_page(workspace, page)
    app.text_input(key=field).set_value("~no-such-user/docs").run()
    next(one for one in app.button if one.label == button).click().run()
    assert not app.exception
    assert "cannot be looked up" in app.error[0].value
