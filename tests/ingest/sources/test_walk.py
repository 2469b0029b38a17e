"""Walks: which files are found, in which order, and what is unknown rather than gone."""

import os
from pathlib import Path
from typing import IO, Any

import pytest

from ragkit import RAG, InputError
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.walk import FileWalk, SourceScope


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")


def walk(path: str, patterns: PathPatterns | None = None, *, source: str | None = None) -> FileWalk:
    scope = SourceScope.of(Path(path), patterns or PathPatterns(), source=source)
    return FileWalk(scope, FileReader(), visited=set())


def uris(
    path: str, patterns: PathPatterns | None = None, *, source: str | None = None
) -> list[str]:
    return [one.uri for one in walk(path, patterns, source=source).sources()]


def test_folders_are_searched_in_order_and_hidden_names_left_out() -> None:
    write("docs/b.txt", "docs/a.md", "docs/.hidden.md", "docs/sub/c.html", "docs/.git/d.txt")
    assert uris("docs") == ["docs/a.md", "docs/b.txt", "docs/sub/c.html"]


def test_an_index_among_the_documents_is_left_out(tmp_path: Path) -> None:
    write("docs/a.md")
    index = tmp_path / "docs" / "index"
    with RAG(index=index) as rag:
        assert rag.ingest("docs").added == ["docs/a.md"]
        report = rag.ingest("docs")
    assert list(index.rglob("*.json"))
    assert (report.unchanged, report.added, report.skipped) == (["docs/a.md"], [], [])


def test_uris_do_not_depend_on_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write("docs/a.md", "docs/sub/b.md")
    outside = uris("docs")
    monkeypatch.chdir("docs")
    assert uris(".") == outside == ["docs/a.md", "docs/sub/b.md"]
    assert uris("a.md") == ["docs/a.md"]


def test_a_named_source_gives_its_name_to_the_uris() -> None:
    write("docs/a.md", "docs/sub/b.md")
    assert uris("docs", source="handbook") == ["handbook/a.md", "handbook/sub/b.md"]
    assert uris("docs/sub", source="handbook=docs") == ["handbook/sub/b.md"]


def test_a_path_outside_its_source_is_refused() -> None:
    write("docs/a.md", "other/b.md")
    with pytest.raises(InputError, match=r"'other' is not in the folder .*docs' of the source"):
        walk("other", source="handbook=docs")


def test_a_glob_finds_the_files_that_match() -> None:
    write("docs/a.md", "docs/b.txt", "docs/sub/c.md")
    assert uris("docs/*.md") == ["docs/a.md"]
    assert uris("docs/**/*.md") == ["docs/a.md", "docs/sub/c.md"]
    assert uris("docs/[ab].*") == ["docs/a.md", "docs/b.txt"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file() -> None:
    write("docs/a[1].md", "docs/a1.md")
    assert uris("docs/a[1].md") == ["docs/a[1].md"]


def test_patterns_choose_among_the_files() -> None:
    write("docs/a.md", "docs/drafts/b.md", "docs/c.txt")
    assert uris("docs", PathPatterns.of(exclude=["drafts/"])) == ["docs/a.md", "docs/c.txt"]
    assert uris("docs", PathPatterns.of(include=["*.md"])) == ["docs/a.md", "docs/drafts/b.md"]


def test_unknown_formats_are_skipped_in_a_folder_but_fail_when_named() -> None:
    write("docs/a.xyz", "docs/b.md")
    folder = walk("docs")
    assert [one.uri for one in folder.sources()] == ["docs/b.md"]
    assert (folder.skipped, folder.failed) == (["docs/a.xyz"], [])
    named = walk("docs/a.xyz")
    assert list(named.sources()) == []
    (failure,) = named.failed
    assert failure.uri == "docs/a.xyz"
    assert "no format that ragkit reads. Fix: convert it to one of" in failure.reason


def test_a_folder_of_nothing_but_other_formats_is_a_failure_that_counts_them() -> None:
    write("docs/a.xyz", "docs/b.xyz", "docs/c.foo")
    folder = walk("docs")
    assert list(folder.sources()) == []
    assert "only of others (.xyz 2, .foo 1). Fix:" in folder.unread().reason


def test_a_missing_path_fails_by_name() -> None:
    missing = walk("nowhere")
    assert list(missing.sources()) == []
    (failure,) = missing.failed
    assert failure.uri == "nowhere"
    assert failure.reason.startswith("No file or folder at '")
    assert missing.is_missing


def test_a_folder_link_back_up_is_not_followed_forever() -> None:
    write("docs/sub/a.txt")
    Path("docs/sub/up").symlink_to("..")
    assert uris("docs") == ["docs/sub/a.txt"]


def test_links_that_lead_nowhere_fail_and_hide_what_may_be_below_them() -> None:
    write("docs/good.txt")
    Path("docs/loop.txt").symlink_to("loop.txt")
    Path("docs/share").symlink_to("/mnt/not/there")
    one = walk("docs")
    assert [found.uri for found in one.sources()] == ["docs/good.txt"]
    assert [failure.uri for failure in one.failed] == ["docs/loop.txt", "docs/share"]
    assert [place.name for place in one.unreadable] == ["loop.txt", "share"]


def test_an_excluded_link_that_leads_nowhere_is_no_failure() -> None:
    write("docs/good.txt")
    Path("docs/share").symlink_to("/mnt/not/there")
    one = walk("docs", PathPatterns.of(exclude=["share/"]))
    assert [found.uri for found in one.sources()] == ["docs/good.txt"]
    assert one.failed == []


def test_an_unreadable_folder_is_a_failure_and_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    write("docs/a.md", "docs/secret/b.md")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    one = walk("docs")
    assert [found.uri for found in one.sources()] == ["docs/a.md"]
    (failure,) = one.failed
    assert failure.uri == "docs/secret"
    assert "Permission denied. Nothing below it is taken for deleted. Fix:" in failure.reason
    assert [place.name for place in one.unreadable] == ["secret"]


def test_a_scope_covers_files_that_are_gone() -> None:
    scope = SourceScope.of(Path("docs/sub"), PathPatterns.of(include=["*.md"]))
    root = Path.cwd().resolve()
    assert scope.covers(root / "docs/sub/gone.md")
    assert not scope.covers(root / "docs/sub/gone.txt")
    assert not scope.covers(root / "docs/other.md")


def test_a_pipe_without_an_extension_is_not_waited_for() -> None:
    write("docs/a.md")
    os.mkfifo("docs/pipe")
    found = walk("docs")
    assert [one.uri for one in found.sources()] == ["docs/a.md"]
    assert (found.skipped, found.failed) == (["docs/pipe"], [])


def test_a_file_whose_format_cannot_be_found_is_unknown_and_not_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("docs/README", "docs/a.md")
    opened = Path.open

    def refuse(self: Path, mode: str = "r") -> IO[Any]:
        if self.name == "README":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode)

    monkeypatch.setattr(Path, "open", refuse)
    found = walk("docs")
    assert [one.uri for one in found.sources()] == ["docs/a.md"]
    assert (found.unreadable, found.skipped) == ([Path.cwd() / "docs/README"], [])
    assert "cannot be read: Permission denied" in found.failed[0].reason
