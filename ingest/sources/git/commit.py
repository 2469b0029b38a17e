"""One commit of a repository, fetched into a folder of its own and read without a working tree."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.secrets import ServerAddress

_FETCH_S, _LOCAL_S = 1800, 120
_REF = "refs/ragkit/commit"
# No hooks, no other sites, and no waiting for a server that sends nothing.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "http.followRedirects=false",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",
    "gc.auto=0",
)
_REGULAR = (b"100644", b"100755")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitBlob:
    """A file of a commit: its path, the id of its content, and its size in bytes."""

    path: str
    oid: str
    size: int


class GitCommit:
    """A commit of a repository in an empty folder, without its history and without hooks.

    Attributes:
        oid: The id of the commit.
    """

    def __init__(self, folder: Path, address: ServerAddress, ref: str) -> None:
        """Fetch a branch, a tag or a commit.

        Raises:
            ConfigError: git is not installed.
            InputError: The repository or the ref cannot be read.
            ProviderError: It took too long.
        """
        self._folder = folder
        self._address = address
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._run("init", "--quiet", "--bare", "--template=", ".")
        self._run(
            *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"),
            *("--no-write-fetch-head", "--", address.url, f"{ref}:{_REF}"),
            timeout_s=_FETCH_S,
        )
        self.oid = self._run("rev-parse", "--verify", f"{_REF}^{{commit}}").decode().strip()

    def blobs(self) -> Iterator[GitBlob]:
        """Yield the regular files, without links and submodules, in order of path."""
        for line in filter(None, self._run("ls-tree", "-r", "-z", "-l", self.oid).split(b"\0")):
            facts, _, path = line.partition(b"\t")
            mode, _, oid, size = facts.split()
            if mode in _REGULAR:
                name = path.decode("utf-8", "backslashreplace")
                yield GitBlob(path=name, oid=oid.decode(), size=int(size))

    def read(self, oid: str) -> bytes:
        """Return the content of a file.

        Raises:
            InputError: It is not there.
        """
        with self._lock:
            process = self._process = self._process or self._started()
            asked, found = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            with suppress(BrokenPipeError):  # then nothing comes back
                asked.write(f"{oid}\n".encode())
                asked.flush()
            head = found.readline().split()
            if len(head) != 3:
                raise InputError(f"git has no file {oid!r}. Fix: run the ingestion again.")
            data = found.read(int(head[2]))
            found.read(1)
            return data

    def close(self) -> None:
        """End the process that reads files."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*self._command(), "cat-file", "--batch"],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _run(self, *arguments: str, timeout_s: float = _LOCAL_S) -> bytes:
        try:
            done = subprocess.run(
                [*self._command(), *arguments],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
            )
        except FileNotFoundError as error:
            raise ConfigError("git is not installed. Fix: apt-get install git") from error
        except subprocess.TimeoutExpired as error:
            raise ProviderError(
                f"{self._address.url!r} took more than {timeout_s:.0f} s. Fix: run the ingestion "
                "again, or ingest the folder of a checkout.",
                provider="git",
                failure="timeout",
            ) from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            reason = next((line for line in said if line.startswith("fatal:")), (said or [""])[-1])
            raise InputError(
                f"{self._address.url!r} cannot be read by git: "
                f"{self._address.secrets.hidden(reason)} Fix: check the URL, the ref behind @, and "
                "that you may read it."
            )
        return done.stdout

    def _command(self) -> list[str]:
        return ["git", "--git-dir=.", *(part for one in _CONFIG for part in ("-c", one))]

    def _environment(self) -> dict[str, str]:
        """Return the environment of git: no other repository, no question, no other protocol."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        url = self._address.url
        own |= {
            "GIT_ALLOW_PROTOCOL": url.partition(":")[0],
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "LC_ALL": "C",
        }
        if self._address.authorization is not None:  # an argument could be seen by other users
            own |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: {self._address.authorization}",
            }
        return own
