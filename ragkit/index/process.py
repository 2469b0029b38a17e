"""The identity of a process, by which others recognise that it has ended."""

import os
import socket
import sys
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """Return an identity that no other process on any machine has, now or later."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid)}"


def has_ended(identity: str) -> bool:
    """Return whether this process is known to have ended; False where that cannot be known."""
    return _runs(identity) is False


def is_running(identity: str) -> bool:
    """Return whether this process is known to run; False where that cannot be known."""
    return _runs(identity) is True


def _runs(identity: str) -> bool | None:
    machine, _, rest = identity.rpartition(":")[0].rpartition(":")
    started = identity.rpartition(":")[2]
    if machine != _machine() or not rest.isdecimal() or not started:
        return None
    return _started(int(rest)) == started


def describe_this_process() -> dict[str, str | int]:
    """Return the process's id, its program and its host, for people."""
    # The arguments are left out: they may hold keys.
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return {"pid": os.getpid(), "program": program, "host": socket.gethostname()}


def _machine() -> str:
    """Return the boot and the process namespace within which process ids are unique."""
    try:
        return f"{_BOOT.read_text().strip()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{socket.gethostname()}/"


def _started(pid: int) -> str:
    """Return the start of a process in clock ticks; empty where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The program's name, in parentheses, may hold spaces.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
