"""`run_page`: a page of the documentation does what it says."""

import contextlib
import doctest
import io
import re
import shlex
import socket
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from typer.testing import CliRunner

from ragkit.cli.main import app
from tests.server.test_clients import Process

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SERVER_PORT = "8400"


def run_page(name: str, folder: Path, names: Mapping[str, Any] | None = None) -> int:
    """Follow a page of docs in a folder, and return how many outputs were compared.

    A block with a title is a file. Blocks of Python run one after the other in one module; a `text`
    block is what the block before it prints, and `console` blocks hold commands that succeed, with
    their output; `...` stands for anything. `ragkit serve &` runs until the page ends. Other blocks
    are only read. The server's usual port is replaced by a free one.

    Args:
        name: The page, relative to docs.
        folder: The working directory.
        names: Values that the page has from elsewhere.
    """
    module = ModuleType("page")  # types of tools are looked up where they are defined
    module.__dict__.update(names or {})
    text = (DOCS / name).read_text("utf-8").replace(SERVER_PORT, str(_free_port()))
    compared, printed = 0, ""
    with contextlib.chdir(folder), contextlib.ExitStack() as servers, _registered(module):
        for language, title, source in BLOCK.findall(text):
            if title:
                Path(title).parent.mkdir(parents=True, exist_ok=True)
                Path(title).write_text(source, "utf-8")
            elif language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102  # our page
                printed = out.getvalue()
            elif language == "text":
                _compare(source, printed)
                compared += 1
            elif language == "console":
                compared += _run_commands(source, servers)
    return compared


@contextlib.contextmanager
def _registered(module: ModuleType) -> Generator[None]:
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]


def _run_commands(source: str, servers: contextlib.ExitStack) -> int:
    """Run the lines that begin with `$ `, and compare the lines after each with its output."""
    commands = re.findall(r"^\$ ragkit (.+)\n((?:(?!\$ ).*\n)*)", source, re.MULTILINE)
    assert len(commands) == source.count("$ "), source
    for line, expected in commands:
        arguments = shlex.split(line.removesuffix(" &"), comments=True)
        if line.endswith(" &"):
            assert arguments[0] == "serve", line
            servers.callback(Process(Path.cwd(), *arguments[1:]).stop)
        else:
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, f"{line}:\n{done.output}"
            _compare(expected, done.stdout)
    return len(commands)


def _compare(expected: str, printed: str) -> None:
    matches = doctest.OutputChecker().check_output(expected, printed, SHOWN)
    assert matches, f"The page says:\n{expected}\nIt printed:\n{printed}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
