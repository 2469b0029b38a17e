"""Files are listed ahead of their reading; documents that hold texts are not."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.ingest.sources import SourceStream
from ragkit.ingest.sources.lookahead import Lookahead
from ragkit.ingest.sources.stream import GROUP


def folder_of(path: Path, files: int) -> Path:
    path.mkdir()
    for number in range(files):
        (path / f"{number:04}.txt").write_text("wolf")
    return path


async def test_the_number_of_files_is_known_before_the_second_group(tmp_path: Path) -> None:
    stream = SourceStream([folder_of(tmp_path / "docs", GROUP + 1)])
    listing = Lookahead(stream)
    async with aclosing(listing.groups()) as groups:
        first = await anext(groups)
        while not listing.complete:
            await asyncio.sleep(0)
        assert (len(first), len(stream.uris)) == (GROUP, GROUP + 1)
        assert [len(group) async for group in groups] == [1]


async def test_documents_with_texts_are_taken_when_they_are_needed() -> None:
    taken: list[int] = []

    def documents() -> Iterator[tuple[str, str]]:
        for number in range(3 * GROUP):
            taken.append(number)
            yield f"doc-{number}", "wolf"

    listing = Lookahead(SourceStream([documents()]))
    async with aclosing(listing.groups()) as groups:
        async for group in groups:
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(taken) <= int(group[-1].uri.removeprefix("doc-")) + 1
    assert (listing.complete, len(taken)) == (True, 3 * GROUP)


async def test_an_error_comes_after_what_was_listed_before_it(tmp_path: Path) -> None:
    listing = Lookahead(SourceStream([folder_of(tmp_path / "docs", 1), ""]))
    groups = listing.groups()
    assert len(await anext(groups)) == 1
    with pytest.raises(InputError, match="The path is ''"):
        await anext(groups)
    assert not listing.complete


async def test_it_ends_with_its_reader(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with aclosing(Lookahead(SourceStream([folder_of(tmp_path / "docs", 2)])).groups()) as one:
        await anext(one)
    assert asyncio.all_tasks() == before
