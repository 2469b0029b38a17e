"""Archives: searched like folders, never unpacked to disk, and bounded."""

import bz2
import gzip
import io
import lzma
import mailbox
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from ragkit import InputError
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.loaders.zip_package import MAX_ENTRIES, MAX_UNPACKED
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.sources import FileReader, SourceItem, SourceStream, archive
from ragkit.ingest.sources.archive import (
    Archive,
    ArchiveMember,
    archive_members,
    is_archive,
)
from ragkit.ingest.sources.file import FileSource
from ragkit.ingest.sources.mbox import MailSpan, mail_at, mail_spans
from ragkit.ingest.sources.root import SourceRoot
from ragkit.testing.ingestion import CountingEmbedder, WatchedIndex

FILES = {"a.md": b"# One", "sub/b.txt": b"two", ".hidden.md": b"x", "__MACOSX/c.md": b"x"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)


def write_zip(path: str, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def write_tar(path: str, files: Mapping[str, bytes]) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    suffix = path.rpartition(".")[2]
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "tgz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    Path(path).write_bytes(compress.get(suffix, bytes)(file.getvalue()))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def members(path: str, reader: FileReader | None = None) -> list[ArchiveMember]:
    file = Path(path).absolute()
    root = SourceRoot.of(file.parent)
    return archive_members(
        FileSource(path=root.path / file.name, root=root, reader=reader or FileReader())
    )


KINDS: list[tuple[str, Callable[[str, Mapping[str, bytes]], None]]] = [
    ("docs/x.zip", write_zip),
    ("docs/x.tar", write_tar),
    ("docs/x.tar.gz", write_tar),
    ("docs/x.tgz", write_tar),
    ("docs/x.tar.bz2", write_tar),
    ("docs/x.tar.xz", write_tar),
]


@pytest.mark.parametrize(("path", "write"), KINDS)
def test_every_file_in_an_archive_is_a_source(
    path: str, write: Callable[[str, Mapping[str, bytes]], None]
) -> None:
    write(path, FILES)
    assert is_archive(Path(path))
    one, two = members(path)
    assert (one.uri, two.uri) == (f"{path}/a.md", f"{path}/sub/b.txt")
    assert one.open().load().title == "One"
    assert two.open().load().text == "two"
    assert one.open().load().text == "# One"  # out of their order, too


@pytest.mark.parametrize(("path", "write"), KINDS)
def test_a_cut_off_archive_is_refused(
    path: str, write: Callable[[str, Mapping[str, bytes]], None]
) -> None:
    write(path, {f"{number}.md": bytes(range(256)) * 40 for number in range(20)})
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"The archive .*x\..* cannot be read"):
        members(path)


@pytest.mark.parametrize("name", ["../a.md", "/etc/a.md", "sub/../../a.md", "..\\a.md"])
@pytest.mark.parametrize(("path", "write"), KINDS[:2])
def test_a_path_that_leads_out_is_refused(
    path: str, write: Callable[[str, Mapping[str, bytes]], None], name: str
) -> None:
    write(path, {name: b"x"})
    with pytest.raises(InputError, match="whose path leads out of it"):
        members(path)


@pytest.mark.parametrize(("path", "write"), [KINDS[0], KINDS[2]])
def test_a_bomb_is_refused_without_being_unpacked(
    path: str, write: Callable[[str, Mapping[str, bytes]], None]
) -> None:
    write(path, {f"{number}.txt": bytes(2**26) for number in range(MAX_UNPACKED // 2**26 + 1)})
    assert Path(path).stat().st_size < 2**22
    with pytest.raises(InputError, match=f"or {MAX_UNPACKED >> 20} MiB unpacked"):
        members(path)


def test_too_many_files_are_refused() -> None:
    write_zip("docs/x.zip", {f"{number}.md": b"" for number in range(MAX_ENTRIES + 1)})
    with pytest.raises(InputError, match=f"more than {MAX_ENTRIES} files"):
        members("docs/x.zip")


def test_a_file_over_the_limit_is_refused_alone() -> None:
    write_zip("docs/x.zip", {"big.txt": bytes(2000), "small.txt": b"text"})
    big, small = members("docs/x.zip", FileReader(max_bytes=1000))
    with pytest.raises(InputError, match=r"raise ingest\.max_file_mb"):
        big.open()
    assert small.open().load().text == "text"


def test_links_and_devices_are_left_out() -> None:
    with tarfile.open("docs/x.tar", "w") as archive:
        link = tarfile.TarInfo("link.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        device = tarfile.TarInfo("device.md")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    assert members("docs/x.tar") == []


def test_every_mail_of_a_mailbox_is_a_source_with_a_lasting_name() -> None:
    start = "From ann@example.org Wed May  1 10:30:00 2024\nFrom: ann\n"
    mails = [
        f"{start}Subject: One\nMessage-ID: <1/a@example.org>\n\nText.\n",
        f"{start}Subject: Two\n\nText.\n",
        f"{start}Subject: Three\n\nText.\n",
    ]
    Path("docs/x.mbox").write_text("\n".join(mails))
    found = members("docs/x.mbox")
    assert [member.name for member in found] == ["1_a@example.org.eml", "000002.eml", "000003.eml"]
    assert [member.open().load().title for member in found] == ["One", "Two", "Three"]
    Path("docs/x.mbox").write_text("\n".join(mails[1:] + mails[:1]))
    assert members("docs/x.mbox")[2].name == "1_a@example.org.eml"


def write_mailbox(path: str, numbers: Iterable[int]) -> None:
    Path(path).write_text(
        "\n".join(
            f"From ann Wed May  1 10:30:00 2024\nSubject: x\nMessage-ID: <{number}@x>\n\n"
            f"Text {number}.\n"
            for number in numbers
        )
    )


def test_the_directory_of_a_zip_is_read_once_for_all_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    class CountedZip(zipfile.ZipFile):
        def __init__(self, file: IO[bytes]) -> None:
            made.append(file)
            super().__init__(file)

    write_zip("docs/x.zip", {f"{number}.txt": b"text %d" % number for number in range(30)})
    write_zip("docs/new", {"5.txt": b"another", "31.txt": b"new"})
    monkeypatch.setattr(zipfile, "ZipFile", CountedZip)
    before = open_files()
    found = members("docs/x.zip")
    texts = [member.open().load().text for member in reversed(found)]
    assert texts == [f"text {number}" for number in reversed(range(30))]
    assert len(made) == 1
    assert open_files() == before  # none of them stays open
    Path("docs/new").replace("docs/x.zip")
    assert found[5].open().load().text == "another"
    with pytest.raises(InputError, match=r"cannot be read \(KeyError"):
        found[6].open()
    assert len(made) == 2


def test_an_encrypted_file_is_refused_alone() -> None:
    write_zip("docs/x.zip", {"a.txt": b"one", "b.txt": b"two"})
    data = bytearray(Path("docs/x.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flags of the first entry of the directory
    Path("docs/x.zip").write_bytes(data)
    one, two = members("docs/x.zip")
    with pytest.raises(InputError, match=r"'a\.txt' in .* is encrypted\. Fix: unpack it"):
        one.open()
    assert two.open().load().text == "two"


def test_a_mailbox_is_divided_once_for_all_its_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[object] = []

    def counted(file: IO[bytes]) -> Sequence[MailSpan]:
        passes.append(file)
        return mail_spans(file)

    monkeypatch.setattr(archive, "mail_spans", counted)
    write_mailbox("docs/x.mbox", range(30))
    found = members("docs/x.mbox")
    texts = [member.open().load().text for member in found]
    assert all(f"Text {number}." in text for number, text in enumerate(texts))
    assert len(passes) == 1


def test_a_mail_is_found_by_its_name_after_the_mailbox_has_changed() -> None:
    write_mailbox("docs/x.mbox", [1, 2, 3])
    one, two, three = members("docs/x.mbox")
    write_mailbox("docs/x.mbox", [7, 8, 3, 2])
    assert "Text 2." in two.open().load().text
    assert "Text 3." in three.open().load().text
    with pytest.raises(InputError, match=r"'1@x\.eml' is no longer in .* Fix: "):
        one.open()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no mail\n",
        "\nFrom a\nA: 1\n\nx\n\n\nFrom b\nFrom c\n\nFrom d",
        "From a\r\nA: 1\r\n\r\nx\r\n\r\nFrom b\r\n\r\ny\r\n",
        "before\n\nFrom a\n\n",
    ],
)
def test_a_mailbox_is_divided_as_the_standard_library_does(text: str) -> None:
    Path("docs/x.mbox").write_text(text, newline="")
    with closing(mailbox.mbox("docs/x.mbox", create=False)) as box:
        expected = [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118 - its order
    with Path("docs/x.mbox").open("rb") as file:
        assert [mail_at(file, span) for span in mail_spans(file)] == expected


def test_a_tar_that_was_replaced_is_read_from_its_beginning() -> None:
    write_tar("docs/x.tar", {"a.txt": b"one", "b.txt": b"two"})
    one, two = members("docs/x.tar")
    assert one.open().load().text == "one"
    write_tar("docs/y.tar", {"b.txt": b"two, edited"})
    Path("docs/y.tar").replace("docs/x.tar")
    assert two.open().load().text == "two, edited"


@pytest.mark.parametrize("path", ["docs/x.zip", "docs/x.mbox"])
def test_an_archive_that_was_read_can_be_sent_to_another_process(path: str) -> None:
    write_zip("docs/x.zip", {"1@x.eml": b"Subject: x\n\nText 1.\n"})
    write_mailbox("docs/x.mbox", [1])
    (member,) = members(path)
    text = member.open().load().text
    sent: Archive = pickle.loads(pickle.dumps(member.archive))
    assert sent.read(member.name) == member.archive.read(member.name)
    assert "Text 1." in text


async def test_an_archive_is_synced_like_a_folder() -> None:
    embedder = CountingEmbedder()
    index = WatchedIndex(embedder)
    chunker = RecursiveChunker(embedder.tokenizer, chunk_tokens=50)
    pipeline = Pipeline(index=index, chunker=chunker, embedder=embedder)

    async def ingest(*items: SourceItem) -> tuple[list[str], list[str], list[str], list[str]]:
        report = await pipeline.run(SourceStream(items), RunOptions(sync=True))
        return report.added, report.updated, report.unchanged, report.deleted

    write_zip("docs/x.zip", FILES)
    Path("docs/c.md").write_text("three")
    names = ["docs/c.md", "docs/x.zip/a.md", "docs/x.zip/sub/b.txt"]
    assert await ingest("docs") == (names, [], [], [])
    assert await ingest("docs") == ([], [], names, [])
    write_zip("docs/x.zip", {"a.md": b"# One, edited", "new.md": b"four"})
    assert await ingest("docs") == (
        ["docs/x.zip/new.md"],
        ["docs/x.zip/a.md"],
        ["docs/c.md"],
        ["docs/x.zip/sub/b.txt"],
    )
    Path("docs/x.zip").write_bytes(b"PK\x03\x04 damaged")
    assert (await ingest("docs"))[3] == []  # nothing is gone that cannot be looked into
