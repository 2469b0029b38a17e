import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import IO

import pytest
from typer.testing import CliRunner

from ragkit import InputError, ProviderError
from ragkit.cli.folder_watch import QUIET_MS, changes, keep_ingesting, watched_folders
from ragkit.cli.main import app


def _settle(changed: Generator[bool], wanted: bool) -> None:
    """Read until there are changes, or until there are none."""
    for found in changed:
        if found is wanted:
            return


def test_changes_of_files_are_seen_and_those_of_the_index_and_hidden_ones_are_not(
    tmp_path: Path,
) -> None:
    docs, index = tmp_path / "docs", tmp_path / "docs" / "index"
    for folder in (index, docs / ".hidden", docs / "deep"):
        folder.mkdir(parents=True)
    changed = changes([docs], ignored=index)
    assert next(changed) is False
    (docs / "deep" / "a.txt").write_text("one")
    _settle(changed, wanted=True)
    _settle(changed, wanted=False)
    (index / "segment").write_text("x")
    (docs / ".hidden" / "b.txt").write_text("x")
    assert [next(changed) for _ in range(3)] == [False, False, False]
    (docs / "deep" / "a.txt").unlink()
    _settle(changed, wanted=True)
    changed.close()


def test_a_folder_that_is_made_again_is_watched_again(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    changed = changes([docs], ignored=None)
    assert next(changed) is False
    for name in ("one.md", "two.md"):
        shutil.rmtree(docs)
        docs.mkdir()
        (docs / name).write_text("x")
        _settle(changed, wanted=True)
        _settle(changed, wanted=False)
    (docs / "three.md").write_text("x")
    assert True in [next(changed) for _ in range(4)]
    changed.close()


def test_a_folder_that_is_gone_is_reported_once_and_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs, other = tmp_path / "docs", tmp_path / "other"
    docs.mkdir()
    other.mkdir()
    changed = changes([docs, other], ignored=None)
    assert next(changed) is False
    docs.rename(tmp_path / "old")
    _settle(changed, wanted=True)
    _settle(changed, wanted=False)
    (other / "a.md").write_text("x")
    assert True in [next(changed) for _ in range(4)]
    other.rename(tmp_path / "older")
    assert [next(changed) for _ in range(4)] == [False] * 4
    told = " ".join(capsys.readouterr().err.split())
    assert (told.count("is gone"), told.count("Fix: make it again")) == (2, 2)
    docs.mkdir()
    _settle(changed, wanted=True)
    changed.close()


def test_a_hidden_folder_is_watched_where_it_is_given_itself(tmp_path: Path) -> None:
    hidden = tmp_path / ".notes"
    hidden.mkdir()
    changed = changes([tmp_path, hidden], ignored=None)
    assert next(changed) is False
    (hidden / "a.txt").write_text("one")
    _settle(changed, wanted=True)
    changed.close()


def test_files_and_globs_are_watched_in_their_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    file = tmp_path / "a" / "x.txt"
    file.write_text("x")
    given = [str(file), str(tmp_path / "a" / "**" / "*.txt"), str(tmp_path / "a" / "b")]
    assert watched_folders(given) == [tmp_path / "a", tmp_path / "a" / "b"]
    with pytest.raises(InputError, match=r"No file or folder at '.*missing' to watch"):
        watched_folders([str(tmp_path / "missing")])


def test_an_ingestion_follows_each_change_and_is_tried_again_after_a_failure() -> None:
    outcomes = iter([None, ProviderError("down", provider="x"), None, None])
    runs: list[int] = []

    def run() -> int:
        runs.append(at[0])
        if error := next(outcomes):
            raise error
        return 0

    at = [0]

    def rounds() -> Generator[bool]:
        for at[0], changed in enumerate([False, False, True, *[False] * 25, True, False]):
            yield changed

    assert keep_ingesting(run, rounds()) == 0
    assert runs == [0, 2, 22, 28]


def test_a_first_run_that_fails_ends_it() -> None:
    def run() -> int:
        raise InputError("nothing there")

    with pytest.raises(InputError, match="nothing there"):
        keep_ingesting(run, (changed for changed in [False, True]))


def test_a_dry_run_cannot_watch(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ingest", str(tmp_path), "--watch", "--dry-run"])
    assert result.exit_code == 1
    assert "exclude each other" in result.output


@contextmanager
def _watching(tmp_path: Path) -> Generator[IO[str]]:
    """The command over the folder docs, and its output; it has to end at an interrupt."""
    command = [sys.executable, "-m", "ragkit.cli.main", "ingest", "docs", "--watch", "--sync"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # The processes of pytest-xdist ignore interrupts, and theirs would too.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()


def test_the_command_ingests_what_is_written_and_ends_at_an_interrupt(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The Volga is long.")
    with _watching(tmp_path) as output:
        assert output.readline().startswith("1 added")
        (docs / "b.txt").write_text("The Danube is shorter.")
        assert output.readline().startswith("1 added")
        (docs / "a.txt").unlink()
        assert "1 deleted" in output.readline()


def test_the_command_follows_a_folder_that_is_gone_and_made_again(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The Volga is long.")
    with _watching(tmp_path) as output:
        assert output.readline().startswith("1 added")
        docs.rename(tmp_path / "moved")
        sleep(2 * QUIET_MS / 1000)
        (tmp_path / "moved").rename(docs)
        assert "1 unchanged" in output.readline()  # nothing was deleted
        (docs / "b.txt").write_text("The Danube is shorter.")
        assert output.readline().startswith("1 added")
