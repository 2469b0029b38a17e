"""`ragkit ui`: start the application in a browser."""

import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.options import Config, Index, LLMName, Tenant, reporting

_LOOPBACK = "127.0.0.1"


@reporting
def ui(
    *,
    index: Index = None,
    tenant: Tenant = None,
    llm: LLMName = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Nothing can be added, deleted or read from disk.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = _LOOPBACK,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port.")] = 8501,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of conversations and uploads.", metavar="DIR"),
    ] = None,
    server_data: Annotated[
        Path | None,
        typer.Option(
            "--server-data", help="Data folder of a server, to show its costs.", metavar="DIR"
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option("--questions", help="JSON Lines with questions to offer.", metavar="FILE"),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open a browser.")] = False,
    config: Config = None,
) -> None:
    """Ask, inspect, ingest, evaluate and run agents in a browser."""
    given = {
        "--index": index,
        "--tenant": tenant,
        "--llm": llm,
        "--host": host,
        "--port": port,
        "--data": data,
        "--server-data": server_data,
        "--questions": questions,
        "--config": config,
    }
    arguments = [
        part for name, value in given.items() if value is not None for part in (name, str(value))
    ]
    flags = {"--read-only": read_only, "--browser": browser}
    arguments += [name for name, value in flags.items() if value]
    # A sibling layer is not imported: it is run as `python -m ragkit.ui` would.
    sys.argv = ["ragkit ui", *arguments]
    runpy.run_module("ragkit.ui", run_name="__main__", alter_sys=True)
