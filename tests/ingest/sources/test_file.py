"""Files: read whole at one moment, known by a stamp, under one of several roots."""

import os
import time
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.ingest.loaders import HtmlLoader, MarkdownLoader
from ragkit.ingest.sources.file import FileReader, FileSource, file_stamp, read_file
from ragkit.ingest.sources.root import SourceRoot


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def source(path: Path, reader: FileReader | None = None) -> FileSource:
    whole = path.absolute()
    root = SourceRoot.of(whole.parent)
    return FileSource(path=root.path / whole.name, root=root, reader=reader or FileReader())


def aged(path: Path, text: str) -> Path:
    """Write a file as one that was last changed an hour ago."""
    path.write_text(text)
    then = time.time() - 3600
    os.utime(path, (then, then))
    return path


def test_a_file_over_the_limit_is_refused_with_the_remedy() -> None:
    Path("big.txt").write_bytes(b"x" * 2_000_000)
    with pytest.raises(InputError, match=r"big\.txt' has 2 MiB.*ingest\.max_file_mb"):
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
    with pytest.raises(InputError, match=r"moving\.txt' changed while it was read"):
        read_file(path, max_bytes=100)


def test_an_unreadable_file_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("locked.txt").write_text("x")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"locked\.txt' cannot be read: Permission denied\. Fix:"):
        read_file(Path("locked.txt"), max_bytes=100)


def test_every_change_of_a_file_changes_its_stamp() -> None:
    path = aged(Path("a.md"), "one")
    before = path.stat()
    path.write_text("two")  # the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # and the same time
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert file_stamp(path.stat()) != file_stamp(before)


def test_a_file_that_was_just_written_has_no_stamp_to_rely_on() -> None:
    path = Path("a.md")
    path.write_text("fresh")
    assert source(path).open().stamp == ""


def test_a_settled_file_is_known_by_its_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("a.md")
    path.write_text("settled")
    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    one = source(path)
    assert one.open().stamp == one.stamp() == file_stamp(path.stat())


def test_a_file_that_is_gone_has_no_stamp() -> None:
    assert source(Path("gone.md")).stamp() == ""


def test_content_is_hashed_and_loaded_from_the_same_bytes() -> None:
    path = Path("a.md")
    path.write_text("# One")
    opened = source(path).open()
    path.write_text("# Two")
    document = opened.load()
    assert document.title == "One"
    assert opened.content_hash == document.content_hash


def test_the_identity_is_that_of_the_loader_that_the_content_chooses() -> None:
    Path("a.md").write_text("# Title")
    Path("b.txt").write_bytes(b"<!DOCTYPE html><p>text</p>")
    assert source(Path("a.md")).open().identity == MarkdownLoader().identity
    assert source(Path("b.txt")).open().identity == HtmlLoader().identity


def test_an_identity_of_a_present_loader_is_accepted_and_an_older_one_is_not() -> None:
    one = source(Path("a.md"))
    assert one.accepts(MarkdownLoader().identity)
    assert not one.accepts("markdown-0")
    assert not one.accepts("")


def test_metadata_may_be_a_function_of_the_path() -> None:
    reader = FileReader(metadata=lambda path: {"year": int(path.stem)})
    assert source(Path("2024.md"), reader).added_metadata() == {"year": 2024}
    assert source(Path("a.md")).added_metadata() == {}
    same = FileReader(metadata={"lang": "en"})
    assert source(Path("a.md"), same).added_metadata() == {"lang": "en"}


def test_a_metadata_function_that_gives_no_mapping_is_refused() -> None:
    reader = FileReader(metadata=lambda path: None)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"gave None for .*a\.md'\. Fix: return a dict"):
        source(Path("a.md"), reader).added_metadata()


def test_a_file_is_known_under_every_folder_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "docs/sub/a.md"
    one = FileSource(path=path, root=SourceRoot.of(path.parent), reader=FileReader())
    names = [alias.uri for alias in one.aliases()]
    assert names[:2] == ["docs/sub/a.md", f"{tmp_path.name}/docs/sub/a.md"]
    assert one.uri == "sub/a.md"
    assert one.uri not in names


def test_a_file_of_a_named_source_has_one_name(tmp_path: Path) -> None:
    root = SourceRoot.parse(f"handbook={tmp_path}", default=Path())
    one = FileSource(path=root.path / "a.md", root=root, reader=FileReader())
    assert (one.uri, one.origin, one.aliases()) == ("handbook/a.md", "named:handbook", ())
