"""Runs of agents kept as files, each owner's in a folder of their own; and the recordings."""

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.agents.approval import Approvals
from ragkit.agents.budget import Budget
from ragkit.answering.conversations import Owner
from ragkit.core.errors import InputError
from ragkit.core.types import Pattern
from ragkit.ui.run_events import KeptRun

RECORDINGS = Path(__file__).with_name("recordings")
_KEPT = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoices:
    """Choices of an agent.

    Attributes:
        pattern: Its pattern.
        tools: Names of tools; `sql=FILE` and `http_get=HOST+HOST` take an argument.
        model: The language model; the setting's where empty.
        budget: Limits of a run.
        approvals: When a person is asked before a tool that writes.
    """

    pattern: Pattern = "react"
    tools: tuple[str, ...] = ("search_documents", "calculator")
    model: str = ""
    budget: Budget
    approvals: Approvals = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """A kept run: its file and its question."""

    path: Path
    question: str


class WaitingRun(BaseModel):
    """A run that waits for a person, with all that is needed to go on in another process.

    Attributes:
        kept: The run so far.
        thread: The name of its checkpoints.
        choices: Those it was started with.
    """

    model_config = ConfigDict(frozen=True)

    kept: KeptRun
    thread: str
    choices: AgentChoices


class RunStore:
    """Runs of agents in a folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when first needed."""
        self._folder = folder

    def folder(self, owner: Owner) -> Path:
        """Return the folder of an owner; the name is not part of the path as it is a secret."""
        digest = hashlib.sha256(f"{owner.tenant}\x1f{owner.name}".encode()).hexdigest()[:32]
        return self._folder / digest

    def save(self, owner: Owner, run: KeptRun) -> Path:
        """Keep a run, and the last 50 of an owner.

        Raises:
            InputError: It cannot be written.
        """
        folder = self.folder(owner)
        path = folder / f"{time.time_ns()}.json"
        try:
            _write(path, run)
            for old in sorted(folder.glob("*.json"))[:-_KEPT]:
                old.unlink()
        except OSError as error:
            raise _unwritable(folder, error) from error
        return path

    def hold(self, owner: Owner, run: WaitingRun) -> None:
        """Keep a run of an owner that waits.

        Raises:
            InputError: It cannot be written.
        """
        try:
            _write(self._waiting(owner) / f"{run.thread}.json", run)
        except OSError as error:
            raise _unwritable(self.folder(owner), error) from error

    def waiting(self, owner: Owner) -> WaitingRun | None:
        """Return the last run of an owner that waits, None where none does.

        Raises:
            InputError: The file cannot be read.
        """
        path = self._waiting(owner)
        try:
            files = {file.stat().st_mtime_ns: file for file in path.glob("*.json")}
            if not files:
                return None
            path = files[max(files)]
            return WaitingRun.model_validate_json(path.read_bytes())
        except FileNotFoundError:  # another process has released it
            return None
        except (OSError, ValidationError) as error:
            raise InputError(
                f"The run that waits cannot be read: {error}. Fix: delete {str(path)!r} and run "
                "the agent again."
            ) from error

    def release(self, owner: Owner, thread: str) -> bool:
        """Forget a run that waits; returns False where another process did so before.

        Raises:
            InputError: Its file cannot be deleted.
        """
        try:
            (self._waiting(owner) / f"{thread}.json").unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unwritable(self.folder(owner), error) from error
        return True

    def _waiting(self, owner: Owner) -> Path:
        return self.folder(owner) / "waiting"

    def list(self, owner: Owner) -> list[RunFile]:
        """Return the owner's runs that can be read, the newest first."""
        found: list[RunFile] = []
        for path in sorted(self.folder(owner).glob("*.json"), reverse=True):
            try:
                found.append(RunFile(path=path, question=load_kept_run(path).question))
            except InputError as error:
                _log.warning("%s", error)
        return found


def _write(path: Path, run: BaseModel) -> None:
    """Write a file whole, also where the process ends meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(run.model_dump_json(), encoding="utf-8")
    partial.replace(path)


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"The run cannot be kept in {str(folder)!r}: {error.strerror or error}. "
        "Fix: give a folder that can be written with --data."
    )


def load_kept_run(path: Path) -> KeptRun:
    """Read a kept run.

    Raises:
        InputError: The file is gone or holds something else.
    """
    try:
        return KeptRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path.name!r} is no run that can be shown. Fix: delete it and run the agent again."
        ) from error


def recordings() -> list[Path]:
    """Return the recordings that come with ragkit."""
    return sorted(RECORDINGS.glob("*.json"))
