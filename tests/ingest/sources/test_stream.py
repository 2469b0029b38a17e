"""Streams: paths, documents and iterables of them in one go, each uri once."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ragkit import Document, InputError
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.item import SingleItem, SourceItem
from ragkit.ingest.sources.stream import GROUP, SourceOptions, SourceStream, load_files


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")


async def read(*items: SourceItem, options: SourceOptions | None = None) -> SourceStream:
    """Read a stream to its end."""
    stream = SourceStream(items, options)
    async for group in stream.groups():
        assert 0 < len(group) <= GROUP
    return stream


async def test_everything_that_can_be_ingested_may_be_given_together() -> None:
    write("docs/a.md", "docs/b.md", "c.txt")

    def some() -> Iterator[SingleItem]:
        yield "c.txt"
        yield {"uri": "d", "text": "in a dict"}

    async def more() -> AsyncIterator[SingleItem]:
        yield ("e", "in a pair")

    document = Document(uri="f", title="", text="in memory", content_hash="1")
    stream = await read(Path("docs"), some(), more(), document, [("g", "in a list")])
    here = Path.cwd().name
    assert list(stream.uris) == ["docs/a.md", "docs/b.md", f"{here}/c.txt", "d", "e", "f", "g"]
    assert stream.failed == []


async def test_a_file_given_twice_is_one_source() -> None:
    write("docs/a.md", "docs/b.md")
    stream = await read("docs/a.md", "docs", "docs/../docs/a.md", "docs")
    assert list(stream.uris) == ["docs/a.md", "docs/b.md"]
    assert stream.failed == []


async def test_two_files_that_would_have_one_uri_are_refused_by_name() -> None:
    write("one/docs/a.md", "two/docs/a.md")
    stream = await read("one/docs", "two/docs")
    (failure,) = stream.failed
    assert failure.uri == "docs/a.md"
    assert "one/docs/a.md" in failure.reason
    assert "two/docs/a.md" in failure.reason
    assert "--source NAME" in failure.reason


async def test_a_document_given_twice_is_refused_by_name() -> None:
    stream = await read(("a", "one"), ("a", "two"))
    (failure,) = stream.failed
    assert (failure.uri, failure.reason) == (
        "a",
        "'a' was given twice. Fix: give each document its own uri.",
    )


async def test_an_item_that_is_no_document_fails_alone() -> None:
    stream = await read([{"uri": "a"}, ("b", "text"), ("c", "d", "e")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    assert list(stream.uris) == ["b"]
    assert [failure.uri for failure in stream.failed] == ["a", "c"]


async def test_sources_come_in_groups_and_are_not_held() -> None:
    made = 0

    def many() -> Iterator[SingleItem]:
        nonlocal made
        for number in range(3 * GROUP):
            made += 1
            yield (f"{number}", "text")

    stream = SourceStream([many()])
    sizes: list[int] = []
    async for group in stream.groups():
        sizes.append(len(group))
        assert made <= sum(sizes)
    assert sizes == [GROUP] * 3


async def test_what_an_iterable_gave_before_it_failed_is_kept() -> None:
    def failing() -> Iterator[SingleItem]:
        yield ("a", "text")
        raise KeyError("lost")

    uris: list[str] = []

    async def read_on() -> None:
        async for group in SourceStream([failing()]).groups():
            uris.extend(source.uri for source in group)

    with pytest.raises(KeyError, match="lost"):
        await read_on()
    assert uris == ["a"]


async def test_documents_belong_to_the_named_source() -> None:
    options = SourceOptions(source="tickets")
    stream = SourceStream([("a", "text")], options)
    origins = [source.origin async for group in stream.groups() for source in group]
    assert origins == ["documents:tickets"]
    assert stream.has_documents
    assert SourceOptions().document_origin == ""


async def test_a_name_for_several_folders_needs_one_that_holds_them() -> None:
    write("docs/a.md")
    with pytest.raises(InputError, match="is no source"):
        await read("docs", options=SourceOptions(source="a/b"))


async def test_files_are_loaded_for_those_who_want_documents() -> None:
    write("docs/good.md")
    Path("docs/bad.txt").write_bytes(b"\xff\xff")
    documents, failed = await load_files([Path("docs"), Path("nowhere")], FileReader())
    assert [document.uri for document in documents] == ["docs/good.md"]
    assert sorted(failure.uri for failure in failed) == ["docs/bad.txt", "nowhere"]


async def test_a_path_below_a_folder_that_may_not_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")  # which no mode of a file makes for root

    monkeypatch.setattr(Path, "is_dir", forbidden)
    with pytest.raises(InputError, match=r"'closed/docs' cannot be read: .*Fix: give this user"):
        await read(["closed/docs"])
