"""What all commands share: how they end, and the options that mean the same everywhere."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec

import typer

from ragkit import console
from ragkit.core.errors import RagkitError

P = ParamSpec("P")

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file instead of ./ragkit.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def reporting(command: Callable[P, int | None]) -> Callable[P, None]:
    """Show ragkit's errors as one line (or JSON) and turn results into exit statuses."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
        except RagkitError as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            sys.exit(130)
        sys.exit(status or 0)

    return run


def _fail(error: RagkitError, *, as_json: bool) -> NoReturn:
    kind = type(error).__name__
    if as_json:
        console.print_json({"error": {"type": kind, "message": str(error)}})
    else:
        console.err.print(f"{kind}: {error}", style="red", markup=False, soft_wrap=True)
    sys.exit(1)
