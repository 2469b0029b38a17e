"""Options of `ragkit ui`, read from its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA = Path.home() / ".local" / "share" / "ragkit" / "ui"
"""Folder of conversations, uploads and runs: outside of any repository."""
DEFAULT_PORT = 8501
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices made when the application is started.

    Attributes:
        index: Folder, Qdrant URL, or `ragkit:` and a ragkit server's URL; the setting's where None.
        tenant: Whose documents are shown; the setting's where None.
        config: Settings file instead of `./ragkit.toml`.
        llm: Language model, as `llm.model` names it.
        read_only: Hide everything that changes the index or reads files of this machine.
        data: Folder for conversations, uploads and runs.
        server_data: The data folder of a `ragkit serve`, whose costs are shown.
        questions: JSON Lines with a `question` each, offered in an empty conversation.
        host: Address to listen on.
        port: Port to listen on.
        browser: Open a browser once the server listens.
    """

    index: str | None = None
    tenant: str | None = None
    config: Path | None = None
    llm: str | None = None
    read_only: bool = False
    data: Path = DEFAULT_DATA
    server_data: Path | None = None
    questions: Path | None = None
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    browser: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read a command line; argparse reports a wrong one and exits with status 2."""
    parser = argparse.ArgumentParser(prog="ragkit ui")
    parser.add_argument("--index")
    parser.add_argument("--tenant")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--llm")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--server-data", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--browser", action="store_true")
    return Options(**vars(parser.parse_args(arguments)))


def arguments_of(options: Options) -> list[str]:
    """Write options as the command line that `parse_options` reads."""
    arguments = ["--data", str(options.data), "--host", options.host, "--port", str(options.port)]
    for name in ("index", "tenant", "config", "llm", "server_data", "questions"):
        if (value := getattr(options, name)) is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    arguments += ["--read-only"] if options.read_only else []
    arguments += ["--browser"] if options.browser else []
    return arguments
