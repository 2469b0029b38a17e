"""Git repositories: one commit at a time, only changed files read, and nothing of theirs run."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.sources import GitRepository, PathPatterns
from ragkit.ingest.sources.git.commit import GitCommit
from ragkit.testing import web_site
from ragkit.testing.ingestion import IngestBench
from ragkit.testing.web_site import SitePage

SYNC = RunOptions(sync=True)
FORCED = RunOptions(sync=True, force=True)


class Repository:
    """A repository with a working tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"git+file://{folder}"
        self.git("init", "--quiet", "--initial-branch=main", ".")

    def git(self, *arguments: str) -> str:
        """Run git there."""
        who = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
        self.folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, *gone: str, **texts: str) -> str:
        """Write and remove Markdown files, and return the id of the commit."""
        for name, text in texts.items():
            path = self.folder / f"{name}.md"
            path.write_text(text)
        for name in gone:
            (self.folder / name).unlink()
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--message=x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return Repository(tmp_path / "handbook")


@pytest.fixture
def bench() -> IngestBench:
    return IngestBench()


async def test_a_commit_is_read_and_later_only_what_changed(
    repository: Repository, bench: IngestBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "docs").mkdir()
    (repository.folder / "docs" / "Über uns.md").write_text("words")
    (repository.folder / ".github").mkdir()
    (repository.folder / ".github" / "x.md").write_text("hidden")
    (repository.folder / "link.md").symlink_to("/etc/passwd")
    (repository.folder / "logo.png").write_bytes(b"\x89PNG")
    repository.commit(a="alpha", b="beta")
    (repository.folder / "uncommitted.md").write_text("a draft")
    report = await bench.ingest(repository.url)
    assert report.added == ["handbook/a.md", "handbook/b.md", "handbook/docs/Über uns.md"]
    assert (report.skipped, report.ok) == (["handbook/logo.png"], True)
    reads: list[str] = []
    read = GitCommit.read

    def counted(commit: GitCommit, oid: str) -> bytes:
        reads.append(oid)
        return read(commit, oid)

    monkeypatch.setattr(GitCommit, "read", counted)
    (repository.folder / "uncommitted.md").unlink()
    repository.commit("b.md", a="alpha, changed")
    report = await bench.ingest(repository.url, run=SYNC)
    assert (report.updated, report.deleted) == (["handbook/a.md"], ["handbook/b.md"])
    assert len(reads) == 1


async def test_a_ref_chooses_the_version_and_the_repository_stays_the_same(
    repository: Repository, bench: IngestBench
) -> None:
    first = repository.commit(a="version one", b="beta")
    repository.git("tag", "--annotate", "--message=x", "v1")
    repository.commit("b.md", a="version two")
    repository.git("branch", "feature/x")
    assert len((await bench.ingest(f"{repository.url}@v1")).added) == 2
    report = await bench.ingest(f"{repository.url}@feature/x", run=SYNC)
    assert (report.updated, report.deleted) == (["handbook/a.md"], ["handbook/b.md"])
    assert (await bench.ingest(f"{repository.url}@{first}")).added == ["handbook/b.md"]
    await bench.ingest(f"{repository.url}@v1", source="old")
    assert await bench.uris() == ["handbook/a.md", "handbook/b.md", "old/a.md", "old/b.md"]


async def test_patterns_choose_files_and_what_a_sync_deletes(
    repository: Repository, bench: IngestBench
) -> None:
    repository.commit(a="alpha", b="beta", c="gamma")
    await bench.ingest(repository.url)
    repository.commit("a.md", "b.md")
    only = PathPatterns.of(include=["b.md", "c.md"])
    assert (await bench.ingest(repository.url, patterns=only, run=SYNC)).deleted == [
        "handbook/b.md"
    ]


@pytest.mark.parametrize("ref", ["@nowhere", "@0123456789012345678901234567890123456789"])
async def test_a_ref_or_repository_that_is_gone_deletes_nothing(
    repository: Repository, bench: IngestBench, ref: str
) -> None:
    repository.commit(a="alpha")
    await bench.ingest(repository.url)
    note = ("note", "in the same run")
    report = await bench.ingest(f"{repository.url}{ref}", note, run=FORCED)
    assert report.deleted == []
    assert "cannot be read by git: " in report.failed[0].reason
    repository.folder.rename(repository.folder.with_name("moved"))
    assert (await bench.ingest(repository.url, note, run=FORCED)).deleted == []
    with pytest.raises(InputError, match="cannot be read by git"):
        await bench.ingest(repository.url, run=FORCED)


async def test_two_repositories_of_one_name_do_not_overwrite_each_other(
    repository: Repository, bench: IngestBench, tmp_path: Path
) -> None:
    repository.commit(a="alpha")
    (tmp_path / "other").mkdir()
    other = Repository(tmp_path / "other" / "handbook")
    other.commit(a="another")
    await bench.ingest(repository.url)
    report = await bench.ingest(other.url)
    assert "from the repository" in report.failed[0].reason
    assert (await bench.ingest(other.url, source="second")).added == ["second/a.md"]


async def test_no_hook_runs_and_no_other_repository_of_the_environment_is_used(
    repository: Repository, bench: IngestBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(a="alpha")
    mark, hooks = tmp_path / "mark", tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "post-merge"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    config = f"[core]\nhooksPath = {hooks}\n[init]\ntemplateDir = {hooks}\n"
    (tmp_path / "home" / ".gitconfig").write_text(config)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    report = await bench.ingest(repository.url)
    assert report.added == ["handbook/a.md"]
    assert not mark.exists()


async def test_nothing_stays_on_the_disk(
    repository: Repository, bench: IngestBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    repository.commit(a="alpha")
    await bench.ingest(repository.url)
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_large_files_and_pointers_of_lfs_are_failures_of_their_own(
    repository: Repository, bench: IngestBench
) -> None:
    object.__setattr__(bench.reader, "max_bytes", 100)
    repository.commit(a="words", b="x" * 101, c="version https://git-lfs.github.com/spec/v1\n")
    report = await bench.ingest(repository.url)
    assert report.added == ["handbook/a.md"]
    reasons = [failure.reason for failure in report.failed]
    assert "ingest.max_file_mb" in reasons[0]
    assert "a pointer of Git LFS" in reasons[1]


@pytest.mark.enable_socket
async def test_a_password_is_sent_to_its_host_and_neither_stored_nor_shown(
    bench: IngestBench,
) -> None:
    with web_site.serving() as site:
        asked = "/team/handbook.git/info/refs?service=git-upload-pack"
        site.pages[asked] = SitePage(status=403)
        url = site.url.replace("http://", "git+http://user:secret-word@")
        with pytest.raises(InputError) as caught:
            await bench.ingest(f"{url}/team/handbook.git@main")
        assert "secret-word" not in f"{caught.value!r} {caught.value.__cause__!r}"
        sent = [headers.get("authorization") for _, headers in site.requests]
        assert "Basic dXNlcjpzZWNyZXQtd29yZA==" in sent
        site.pages[asked] = SitePage(status=301, headers={"Location": "/elsewhere"})
        site.requests.clear()
        with pytest.raises(InputError):
            await bench.ingest(f"{url}/team/handbook.git")
        assert "/elsewhere" not in [path for path, _ in site.requests]
    found = GitRepository.parse(f"{url}/team/handbook.git@main")
    assert "secret-word" not in f"{found.name} {found.origin}"
    assert found.ref == "main"


@pytest.mark.parametrize(
    "text",
    [
        "git+ext://sh -c touch% x", "git+file://", "git+https://host/r@--upload-pack=x",
        "git+https://host/r@a:b", "git+https://host/r@+a", "git+https://host/r@",
    ],
)  # fmt: skip
def test_what_is_no_repository_or_ref_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Fix: "):
        GitRepository.parse(text)
