"""Paths of this machine, as they are typed into a page."""

from pathlib import Path

from ragkit.core.errors import InputError

_SHOWN_CHARS = 200


def checked_path(text: str) -> Path:
    """Return the path that a text names; `~` is a home directory.

    Raises:
        InputError: It is empty, nothing is there, or it cannot be looked up.
    """
    name = text.strip()
    shown, fix = f"{name[:_SHOWN_CHARS]!r}", "Fix: name a file or folder of this machine."
    try:
        path = Path(name).expanduser()
        is_there = bool(name) and path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: there is no such home
        why = str(error.strerror if isinstance(error, OSError) else error).rstrip(".")
        raise InputError(f"{shown} cannot be looked up: {why}. {fix}") from error
    if not is_there:
        raise InputError(f"There is nothing at {shown}. {fix}")
    return path
