import os
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.ingest.sources import from_paths, read_file


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _uris(*paths: str) -> list[str]:
    return [source.uri for source in from_paths([Path(path) for path in paths]).sources]


def test_folders_are_searched_in_order_and_hidden_names_left_out() -> None:
    for name in ("b.txt", "a.md", ".hidden.md", "sub/c.html", ".git/d.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
    assert _uris(".") == ["a.md", "b.txt", "sub/c.html"]


def test_a_file_given_twice_is_one_source() -> None:
    Path("a.md").write_text("x")
    assert _uris("a.md", ".", "./a.md") == ["a.md"]


def test_unknown_formats_are_skipped_in_a_folder_but_fail_when_named() -> None:
    Path("a.xyz").write_text("x")
    assert from_paths([Path()]).skipped == ("a.xyz",)
    (failure,) = from_paths([Path("a.xyz")]).failed
    assert "no format that ragkit reads" in failure.reason
    assert ".md" in failure.reason


def test_a_missing_path_fails_by_name() -> None:
    (failure,) = from_paths([Path("nowhere")]).failed
    assert (failure.uri, failure.reason) == (
        "nowhere",
        "No file or folder at 'nowhere'. Fix: check the path.",
    )


def test_a_folder_link_back_up_is_not_followed_forever() -> None:
    Path("sub").mkdir()
    Path("sub/a.txt").write_text("x")
    Path("sub/up").symlink_to("..")
    assert _uris(".") == ["sub/a.txt"]


def test_a_file_link_to_itself_fails_with_a_reason() -> None:
    Path("loop.txt").symlink_to("loop.txt")
    Path("good.txt").write_text("x")
    found = from_paths([Path()])
    assert [source.uri for source in found.sources] == ["good.txt", "loop.txt"]
    with pytest.raises(InputError, match=r"'loop\.txt' cannot be read"):
        found.sources[1].open()


def test_a_file_over_the_limit_is_refused_with_the_remedy() -> None:
    Path("big.txt").write_bytes(b"x" * 2_000_000)
    with pytest.raises(InputError, match=r"'big\.txt' has 2 MiB.*ingest\.max_file_mb"):
        read_file(Path("big.txt"), max_bytes=2**20)


def test_a_pipe_is_not_waited_for() -> None:
    os.mkfifo("pipe.txt")
    with pytest.raises(InputError, match="not a regular file"):
        read_file(Path("pipe.txt"), max_bytes=100)


def test_a_file_that_changes_while_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("moving.txt")
    path.write_text("before")
    read = Path.read_bytes

    def read_and_change(self: Path) -> bytes:
        data = read(self)
        self.write_text("after, and longer")
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    with pytest.raises(InputError, match=r"'moving\.txt' changed while it was read"):
        read_file(path, max_bytes=100)


def test_an_unreadable_file_is_an_input_error() -> None:
    Path("locked.txt").write_text("x")
    Path("locked.txt").chmod(0)
    if os.access("locked.txt", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match="Permission denied"):
        read_file(Path("locked.txt"), max_bytes=100)
