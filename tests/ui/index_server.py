"""A ragkit server with keys for tests of the application, which can be stopped and started."""

from contextlib import ExitStack
from pathlib import Path

from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions, build_app
from ragkit.server.keys import KeyFile, Role
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.server import listening


class IndexServer:
    """Serves the index in a folder, on the same port each time."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; `start` listens."""
        self._folder, self._running, self._port = folder, ExitStack(), 0

    @property
    def location(self) -> str:
        """The index as a setting."""
        return f"ragkit:http://127.0.0.1:{self._port}"

    def key(self, role: Role, *, tenant: str = "default") -> str:
        """Return the secret of a new key."""
        self._folder.mkdir(exist_ok=True)
        keys = KeyFile(self._folder / "keys.sqlite")
        try:
            return keys.add(f"{tenant}-{role}", tenant=tenant, role=role)
        finally:
            keys.close()

    def start(self) -> None:
        """Listen."""
        rag = AsyncRAG(index=self._folder / "index", embedder=HashEmbedder())
        keys = KeyFile(self._folder / "keys.sqlite")
        app = build_app({"": rag}, ServerOptions(folder=self._folder / "server", keys=keys))
        url = self._running.enter_context(listening(app, port=self._port))
        self._port = int(url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop, if it runs."""
        self._running.close()
