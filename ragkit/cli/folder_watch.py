"""`ragkit ingest --watch`: changes of files, and an ingestion after each."""

import functools
import os
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from time import sleep
from typing import TypeAlias

from ragkit.cli import console
from ragkit.core.errors import InputError, MissingExtraError, RagkitError
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.walk import SourceScope

QUIET_MS = 500
"""A pause without changes, after which those before it are taken together."""
_LONGEST_MS = 5_000
_RETRY_ROUNDS = 20
_Identity: TypeAlias = tuple[int, int]


def watched_folders(paths: Sequence[str]) -> list[Path]:
    """Return the folders of files, folders and globs.

    Raises:
        InputError: One does not exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        within = SourceScope.of(Path(path), PathPatterns()).within
        folder = within if within.is_dir() else within.parent
        if not os.path.lexists(within) or not folder.is_dir():
            raise InputError(f"No file or folder at {path!r} to watch. Fix: check the path.")
        found[folder] = None
    return list(found)


def changes(folders: Sequence[Path], *, ignored: Path | None) -> Generator[bool]:
    """Yield False once the folders are watched and in every pause, True after changes.

    A folder that is made again is watched again, and is a change. One that is gone is reported, and
    is waited for. Names that start with a dot below the folders are left out, as they are by an
    ingestion, and so is `ignored`. It ends at an interrupt.

    Raises:
        MissingExtraError: watchfiles is not installed.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise MissingExtraError("watchfiles", extra="watch") from error

    def is_read(_change: watchfiles.Change, name: str) -> bool:
        path = Path(name)
        if ignored is not None and (path == ignored or ignored in path.parents):
            return False
        below = [path.relative_to(one).parts for one in folders if one in path.parents]
        hidden = (any(part.startswith(".") for part in parts) for parts in below or [path.parts])
        return not all(hidden)

    rounds = functools.partial(
        watchfiles.watch,
        watch_filter=is_read,
        debounce=_LONGEST_MS,
        step=QUIET_MS,
        rust_timeout=QUIET_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    gone: set[Path] = set()
    has_changed = False
    while True:
        with _held(folders) as known:
            present = [folder for folder in folders if known[folder] is not None]
            gone = _reported(gone, set(folders).difference(present))
            try:
                for found in rounds(*present) if present else _pauses():
                    if _identities(folders) != known:
                        break
                    yield bool(present) and (has_changed or bool(found))
                    has_changed = False
                else:
                    return
            except FileNotFoundError:  # gone before it was watched
                sleep(QUIET_MS / 1000)
        has_changed = True


@contextmanager
def _held(folders: Sequence[Path]) -> Generator[Mapping[Path, _Identity | None]]:
    """Yield the identities of folders, which the system gives to no other while these are held."""
    with ExitStack() as stack:
        for folder in folders:
            with suppress(OSError):  # it is missing, or the system opens no folders, as Windows
                stack.callback(os.close, os.open(folder, os.O_RDONLY))
        yield _identities(folders)


def _identities(folders: Sequence[Path]) -> Mapping[Path, _Identity | None]:
    """Return device and inode of folders, None of those that are missing."""
    found: dict[Path, _Identity | None] = {}
    for folder in folders:
        try:
            stat = folder.stat()
        except OSError:
            found[folder] = None
        else:
            found[folder] = (stat.st_dev, stat.st_ino) if S_ISDIR(stat.st_mode) else None
    return found


def _pauses() -> Generator[Sequence[object]]:
    while True:
        sleep(QUIET_MS / 1000)
        yield ()


def _reported(known: Set[Path], gone: set[Path]) -> set[Path]:
    """Report the folders that are newly gone, and return all that are."""
    for folder in sorted(gone.difference(known)):
        console.err.print(
            f"The folder {str(folder)!r} is gone; nothing of it is deleted while it is. "
            "Fix: make it again, and it is watched again, or interrupt.",
            style="yellow",
            markup=False,
        )
    return gone


def keep_ingesting(run: Callable[[], int], changed: Generator[bool]) -> int:
    """Run once when watching has begun, and again after changes, until it is interrupted.

    A first run that fails ends it. A later one is reported, and tried again after a pause.
    """
    try:
        next(changed, None)  # what changes from here on is seen
        run()
        _follow(run, changed)
    except KeyboardInterrupt:
        pass  # what was stored is whole, and the next run does the rest
    return 0


def _follow(run: Callable[[], int], changed: Generator[bool]) -> None:
    pending, pause = False, 0
    for has_changed in changed:
        pause = 0 if has_changed else pause + 1
        if not has_changed and not (pending and pause >= _RETRY_ROUNDS):
            continue
        pause = 0
        try:
            run()
            pending = False
        except RagkitError as error:
            console.err.print(f"{type(error).__name__}: {error}", style="red", markup=False)
            pending = True
