"""`ragkit ingest --watch`: changes of files, and an ingestion after each."""

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from ragkit.cli import console
from ragkit.core.errors import InputError, MissingExtraError, RagkitError
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.walk import SourceScope

QUIET_MS = 500
"""A pause without changes, after which those before it are taken together."""
_LONGEST_MS = 5_000
_RETRY_ROUNDS = 20


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

    Names that start with a dot below the folders are left out, as they are by an ingestion, and so
    is `ignored`. It ends at an interrupt.

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

    for found in watchfiles.watch(
        *folders,
        watch_filter=is_read,
        debounce=_LONGEST_MS,
        step=QUIET_MS,
        rust_timeout=QUIET_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    ):
        yield bool(found)


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
