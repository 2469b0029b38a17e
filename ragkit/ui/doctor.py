"""`ragkit doctor` as the page System shows it: run beside the application, read as JSON."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.core.errors import ProviderError
from ragkit.core.secrets import without_credentials
from ragkit.core.settings import Settings

_TIMEOUT_S = 180
_OWN_INDEX = ":memory:"  # the real one is open in this process, which alone may hold it


class DoctorCheck(BaseModel):
    """A finding of `ragkit doctor`."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: str
    detail: str
    fix: str = ""


class _Printed(BaseModel):
    checks: list[DoctorCheck]


def doctor_command(config: Path | None) -> list[str]:
    """Return the command that prints the findings as JSON."""
    command = [sys.executable, "-m", "ragkit.cli.main", "doctor", "--json", "--index", _OWN_INDEX]
    return [*command, "--config", str(config)] if config is not None else command


def read_checks(text: str) -> list[DoctorCheck]:
    """Read what `ragkit doctor --json` printed, without the finding about the index.

    Raises:
        ProviderError: It printed something else.
    """
    try:
        printed = _Printed.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise ProviderError(
            f"`ragkit doctor` gave no findings: {text.strip()[-200:]!r}. "
            "Fix: run it in a terminal and do what it says.",
            provider="doctor",
        ) from error
    return [check for check in printed.checks if check.name != "index"]


async def run_doctor(config: Path | None) -> list[DoctorCheck]:
    """Run `ragkit doctor` and return its findings.

    Raises:
        ProviderError: It did not end in time, or gave none.
    """
    process = await asyncio.create_subprocess_exec(
        *doctor_command(config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            printed, _ = await process.communicate()
    except TimeoutError as error:
        raise ProviderError(
            f"`ragkit doctor` did not end in {_TIMEOUT_S} s. Fix: run it in a terminal.",
            provider="doctor",
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return read_checks(printed.decode(errors="replace"))


def index_check(settings: Settings, documents: int | None, error: str) -> DoctorCheck:
    """Return the finding about the index that this application has open."""
    if documents is None:
        fix = "Add documents on the page Documents, or start with another --index"
        return DoctorCheck(name="index", status="failed", detail=error, fix=fix)
    location = without_credentials(settings.index.location)
    detail = f"{location}: open here, {documents} documents of this tenant"
    return DoctorCheck(name="index", status="ok", detail=detail)


def sorted_checks(checks: Sequence[DoctorCheck]) -> list[DoctorCheck]:
    """Return the findings with what needs a hand first."""
    order = {"failed": 0, "missing": 1, "off": 2, "ok": 3}
    return sorted(checks, key=lambda check: order.get(check.status, 0))
