"""A process that loads documents, as the ingestion sees it."""

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import sys
from dataclasses import dataclass
from typing import Self

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.types import Document
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.message import LENGTHS, LONGEST, MEMORY, document_of, request_message

_START_S = 120
_GRACE_S = 10
_END_S = 5
_PROGRAM = """
import json, sys
options = json.loads(sys.argv[1])
sys.path[:] = options.pop("path")
from ragkit.ingest.workers.program import main
main(**options)
"""
_DIED = (EOFError, ConnectionError, ValueError)
"""What reading and writing raise where the process has ended, or answers what it should not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserLimits:
    """The bounds of each document: seconds, and MiB of memory beside the process's own."""

    timeout_s: float = 300.0
    memory_mb: int = 2048


class ParserProcess:
    """A process that loads one document after the other, until one of them ends it.

    It is a program of its own: a fork would copy the locks of other threads, and a start method of
    `multiprocessing` would import the caller's script.
    """

    def __init__(self, process: asyncio.subprocess.Process, limits: ParserLimits) -> None:
        """Take a process that is ready; use `ParserProcess.start`."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests, self._answers = process.stdin, process.stdout
        self._limits = limits
        self.is_usable = True

    @classmethod
    async def start(cls, limits: ParserLimits) -> Self:
        """Start a process.

        Raises:
            ConfigError: It cannot be started.
        """
        options = {
            "path": [str(item) for item in sys.path],
            "parent": os.getpid(),
            "memory_bytes": limits.memory_mb * 2**20,
            "alarm_s": math.ceil(limits.timeout_s) + _GRACE_S,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _PROGRAM, json.dumps(options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # an interrupt from the terminal is the parent's
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        except OSError as error:
            raise _unstartable(str(error)) from error
        made = cls(process, limits)
        try:
            async with asyncio.timeout(_START_S):
                await made._answer()
        except (TimeoutError, *_DIED) as error:
            await made.close()
            raise _unstartable(f"it ended with {process.returncode}") from error
        except BaseException:
            made.kill()
            raise
        return made

    async def load(self, call: LoadCall) -> Document:
        """Load a document.

        Raises:
            InputError: The loader failed, took too long or too much memory, or ended the process.
            RagkitError: The loader needs a setting or a package.
        """
        self.is_usable = False  # until it has answered: an answer that comes late is another's
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                header, body = await self._exchange(call)
        except TimeoutError as error:
            self.kill()
            await self.close()
            raise InputError(
                f"{call.uri!r} was not read within {self._limits.timeout_s:g} s. Fix: leave it "
                "out, or raise ingest.document_timeout_s."
            ) from error
        except _DIED as error:
            await self.close()
            raise self._ended(call.uri) from error
        except BaseException:
            self.kill()
            raise
        return await self._document(call.uri, header, body)

    async def _exchange(self, call: LoadCall) -> tuple[bytes, bytes]:
        self._requests.write(request_message(call))
        self._requests.write(call.data)
        await self._requests.drain()
        return await self._answer()

    async def _answer(self) -> tuple[bytes, bytes]:
        head, body = LENGTHS.unpack(await self._answers.readexactly(LENGTHS.size))
        if max(head, body) > LONGEST:
            raise ValueError("The answer is too long.")
        return await self._answers.readexactly(head), await self._answers.readexactly(body)

    async def _document(self, uri: str, header: bytes, body: bytes) -> Document:
        try:
            fields = await asyncio.to_thread(json.loads, header)
            self.is_usable = fields["last"] is False
            for name, level, text in fields["logged"]:
                logging.getLogger(name).log(level, "%s", text)
            if not self.is_usable:
                await self.close()
            if MEMORY in fields:
                raise InputError(
                    f"{uri!r} takes more than {self._limits.memory_mb} MiB of memory to be read. "
                    "Fix: divide it, or raise ingest.document_memory_mb."
                )
            return await asyncio.to_thread(document_of, fields, body)
        except (KeyError, TypeError, ValueError) as error:
            await self.close()
            raise self._ended(uri) from error

    def _ended(self, uri: str) -> InputError:
        status = self._process.returncode or 0
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return InputError(
            f"{uri!r} ended the process that read it ({how}). Fix: leave it out, or convert it; if "
            "it is large, raise ingest.document_memory_mb."
        )

    def kill(self) -> None:
        """End the process at once; it has nothing that could be lost."""
        self.is_usable = False
        # Not `Process.kill`, which asks for the status behind the back of the loop's own watcher.
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End the process, and wait until it has ended."""
        self.is_usable = False
        self._requests.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()


def _unstartable(reason: str) -> ConfigError:
    return ConfigError(
        f"The process that reads documents cannot be started: {reason}. Fix: set ingest.workers "
        "to 0 to read them in this process (RAGKIT_INGEST__WORKERS=0)."
    )
