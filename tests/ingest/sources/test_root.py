"""Roots: one uri for one file, wherever a command runs."""

from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.ingest.sources.root import SourceRoot, absolute


def test_a_folder_has_one_path_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    outside = absolute(Path("docs"))
    monkeypatch.chdir(tmp_path / "docs")
    assert absolute(Path()) == outside == absolute(Path("../docs/."))


def test_links_in_the_parents_are_resolved_and_the_folder_s_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "releases/one").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases")
    (tmp_path / "releases/latest").symlink_to("one")
    assert absolute(tmp_path / "current/latest") == tmp_path.resolve() / "releases/latest"


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert absolute(Path("~/docs")) == Path("/home/ann/docs")


def test_uris_begin_with_the_name_and_lead_back_to_the_file(tmp_path: Path) -> None:
    root = SourceRoot.of(tmp_path)
    file = root.path / "sub/a b.md"
    assert root.uri(file) == f"{tmp_path.name}/sub/a b.md"
    assert root.file(root.uri(file)) == file


def test_the_root_of_the_file_system_has_a_name() -> None:
    assert SourceRoot.of(Path("/")).uri(Path("/etc/motd")) == "root/etc/motd"


def test_a_folder_is_its_own_identity_and_a_chosen_name_is_one(tmp_path: Path) -> None:
    assert SourceRoot.of(tmp_path).origin == f"folder:{absolute(tmp_path)}"
    here = SourceRoot.parse(f"handbook={tmp_path}", default=Path())
    there = SourceRoot.parse("handbook", default=Path("/elsewhere"))
    assert here.origin == there.origin == "named:handbook"
    assert here.path == absolute(tmp_path)


@pytest.mark.parametrize("text", ["", "  ", "a/b", "name=", "=docs"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is no source\. Fix: write NAME"):
        SourceRoot.parse(text, default=Path())
