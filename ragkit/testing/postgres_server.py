"""A real PostgreSQL server on this machine, for tests, from the system's own package."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = Path("/usr/lib/postgresql")


def missing() -> str | None:
    """Return the reason why no server can be started here, or None."""
    if _program("initdb") is None:
        return "PostgreSQL is not installed. Fix: apt-get install postgresql"
    return None


@contextmanager
def serving() -> Generator[str]:
    """Start a server with an empty database, and yield its URL; it listens on a socket file."""
    with tempfile.TemporaryDirectory(prefix="ragkit-postgres-") as place:
        data = Path(place) / "data"
        Path(place).chmod(0o755)
        data.mkdir(mode=0o700)
        # The server refuses to run as root.
        user = "postgres" if os.getuid() == 0 else None
        if user is not None:
            shutil.chown(data, user)
        _run(user, "initdb", "--auth=trust", "--username=ragkit", "--no-sync", "-D", str(data))
        options = f"-c listen_addresses= -c unix_socket_directories={data} -c fsync=off"
        _run(user, "pg_ctl", "-D", str(data), "-l", str(data / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://ragkit@/postgres?host={data}"
        finally:
            _run(user, "pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def _run(user: str | None, program: str, *arguments: str) -> None:
    subprocess.run(
        [str(_program(program)), *arguments],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _program(name: str) -> Path | None:
    found = sorted(_PROGRAMS.glob(f"*/bin/{name}"))
    on_path = shutil.which(name)
    return found[-1] if found else Path(on_path) if on_path else None
