"""A real LangGraph server (`langgraph dev`) over the graphs of some files, for tests of agents.

It runs in a virtual environment of its own, `.venv-langgraph`, and finds ragkit in `.venv`.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ragkit.testing.vllm_server import ROOT, ServerFailedError, free_port

LANGGRAPH = ROOT / ".venv-langgraph" / "bin" / "langgraph"
START_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class LangGraphServer:
    """A running server: its address and its log."""

    url: str
    log: Path

    def tail(self, characters: int = 4000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-characters:]


def missing() -> str | None:
    """Return the reason why no server can be started here, or None."""
    if not LANGGRAPH.exists():
        return "langgraph-cli[inmem] is not installed. Fix: run `make langgraph`"
    return None


@contextmanager
def serving(
    folder: Path, graphs: Mapping[str, str], *, environment: Mapping[str, str] | None = None
) -> Generator[LangGraphServer]:
    """Serve graphs until the block ends.

    Args:
        folder: Holds the configuration, the log and the server's files.
        graphs: `file.py:name` by the name of the graph.
        environment: Variables beside those of this process.

    Raises:
        ServerFailedError: The server did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "langgraph.json"
    config.write_text(json.dumps({"dependencies": ["."], "graphs": dict(graphs)}))
    server = LangGraphServer(url=f"http://127.0.0.1:{free_port()}", log=folder / "server.log")
    command = [
        *(str(LANGGRAPH), "dev", "--config", str(config), "--no-browser", "--no-reload"),
        *("--host", "127.0.0.1", "--port", server.url.rpartition(":")[2]),
    ]
    given = {**os.environ, "PYTHONSAFEPATH": "1", "LANGSMITH_TRACING": "false"}
    with server.log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**given, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(server, process)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait(server: LangGraphServer, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise ServerFailedError(f"The LangGraph server ended:\n{server.tail()}")
        try:
            if httpx.get(f"{server.url}/ok", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise ServerFailedError(f"The LangGraph server did not start:\n{server.tail()}")
