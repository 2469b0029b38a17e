from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ragkit.server.app import ServerOptions
from ragkit.server.keys import KeyFile
from ragkit.testing.server import RunningServer, running_server

KEY_FILE = "keys.sqlite"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """A server without keys."""
    async with running_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    """An empty key file."""
    return KeyFile(tmp_path / KEY_FILE)


@pytest.fixture
async def guarded_server(tmp_path: Path, keys: KeyFile) -> AsyncIterator[RunningServer]:
    """A server that asks for keys."""
    options = ServerOptions(folder=tmp_path / "server", keys=keys)
    async with running_server(tmp_path, options=options) as server:
        yield server
