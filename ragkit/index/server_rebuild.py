"""The claim of the one process that builds an index on a server again.

It stands in the payload of the collection's identity, which is changed only where its `version` is
still the one that was read: compare-and-swap. Before the collection makes way for its successor,
its claim is *closing*: no writer begins a change from then on. A writer notes its change first and
then looks at the claim, and the notes are read after the claim is closing, so that each change is
seen by the one or stopped by the other. The successor carries the mark of its builder, whose
writes look at it in the same way, until it takes the collection's place.

A claim whose process is known to run holds. Of a process on another machine it is over once it was
seen unchanged for `LEASE_S` seconds: no two clocks are compared.
"""

import asyncio
import time
import uuid
from http import HTTPStatus
from typing import Self

from pydantic import BaseModel, ConfigDict

from ragkit.core.errors import IndexLocked, IndexMismatch, ProviderError
from ragkit.index.layout import IDLE, Payload
from ragkit.index.process import describe_this_process, has_ended, is_running, this_process
from ragkit.index.server_client import ServerClient
from ragkit.index.server_errors import CollectionReplaced

LEASE_S = 60.0
"""Seconds after which a claim that did not change is over."""
_PAUSE_S = 0.25
"""Seconds between two looks at a claim."""
_REPLACED = "replaced"
"""The `version` of an identity that has a successor; nobody claims it."""


class _Claim(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    generation: str
    left: tuple[str, ...] = ()
    process: str
    holder: str
    beat: str
    is_closing: bool


class _State(BaseModel):
    """The state of a collection, as its identity has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = IDLE
    builder: str = ""
    rebuild: _Claim | None = None
    successor: str = ""

    @classmethod
    async def of(cls, server: ServerClient) -> Self:
        if payload := await server.identity():
            return cls.model_validate(payload)
        raise IndexMismatch(
            f"The collection {server.name!r} of the index at {server.where!r} has lost its "
            "identity. Fix: restore it from a backup."
        )


class _Watch:
    """The time for which a claim was seen unchanged."""

    def __init__(self) -> None:
        self._beat, self._since = "", 0.0
        self.has_changed = False

    def sees_end(self, claim: _Claim) -> bool:
        """Look at a claim, and return whether it holds no longer."""
        if has_ended(claim.process):
            return True
        now = time.monotonic()
        if claim.beat != self._beat:
            self.has_changed = bool(self._beat)
            self._beat, self._since = claim.beat, now
        return now - self._since > LEASE_S and not is_running(claim.process)


class RebuildClaim:
    """The right to build a collection's successor, and to replace it.

    Attributes:
        generation: The name of the successor.
        left: The names of the successors that earlier processes did not finish.
        builder: The mark of the successor's builder.
    """

    def __init__(self, server: ServerClient, generation: str, left: tuple[str, ...]) -> None:
        """Name the collection; use `RebuildClaim.take`."""
        self._server = server
        self.generation, self.left = generation, left
        self.builder = uuid.uuid4().hex
        self._version = self.builder
        self._is_closing = False
        self._lock = asyncio.Lock()

    @classmethod
    async def take(cls, server: ServerClient, generation: str) -> Self:
        """Claim a collection.

        Raises:
            IndexLocked: Another process has the claim.
            CollectionReplaced: It has a successor.
        """
        watch = _Watch()
        while True:
            state = await _State.of(server)
            other = state.rebuild
            if state.successor:
                raise CollectionReplaced(server.where)
            if other is None or state.version == IDLE or watch.sees_end(other):
                break
            if watch.has_changed or is_running(other.process):
                raise IndexLocked(
                    f"The index at {server.where!r} is being built again by {other.holder}. "
                    "Fix: wait for its end."
                )
            await asyncio.sleep(_PAUSE_S)
        names = () if other is None else (*other.left, other.generation)
        claim = cls(server, generation, tuple(name for name in names if name != generation))
        await server.set_identity(claim._payload(), only_if=state.version)
        await claim.check()
        return claim

    async def check(self) -> None:
        """Check that the claim still holds.

        Raises:
            IndexLocked: Another process has taken it over.
        """
        if (await _State.of(self._server)).version != self._version:
            raise lost(self._server)

    async def renew(self) -> None:
        """Show others that its process is alive."""
        async with self._lock:
            await self._server.set_identity(self._payload(), only_if=self._version)

    async def close(self, *, is_closing: bool) -> None:
        """Let no further change begin, or let changes begin again.

        A renewal that is still under way does not undo it: the version is another one.

        Raises:
            IndexLocked: Another process has taken the claim over.
        """
        async with self._lock:
            before, self._version = self._version, uuid.uuid4().hex
            self._is_closing = is_closing
            await self._server.set_identity(self._payload(), only_if=before)
        await self.check()

    async def release(self) -> None:
        """Give the claim back; what was built is named for the next process."""
        self._is_closing = False
        over = {**self._payload(), "version": IDLE}
        await self._server.set_identity(over, only_if=self._version)

    async def replace(self, successor: ServerClient) -> None:
        """Let the successor be the index from now on; whoever comes by moves the alias.

        Raises:
            IndexLocked: Another process has taken the claim over.
        """
        await successor.set_identity({"version": IDLE, "builder": ""}, only_if=self.builder)
        if (await _State.of(successor)).builder:
            raise lost(self._server)
        async with self._lock:
            payload = {"successor": successor.name, "version": _REPLACED}
            await self._server.set_identity(payload, only_if=self._version)
        try:
            if (await _State.of(self._server)).successor != successor.name:
                raise lost(self._server)
        except ProviderError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise  # else another process has seen the successor, and removed this one

    def _payload(self) -> Payload:
        about = describe_this_process()
        claim = _Claim(
            generation=self.generation,
            left=self.left,
            process=this_process(),
            holder=f"process {about['pid']} ({about['program']}) on {about['host']}",
            beat=uuid.uuid4().hex,
            is_closing=self._is_closing,
        )
        return {"version": self._version, "rebuild": claim.model_dump()}


async def take_building(server: ServerClient, builder: str) -> None:
    """Mark a collection that is built as this builder's; what others still write to it is refused.

    Raises:
        IndexLocked: Another process marked it at the same time.
    """
    state = await _State.of(server)
    if state.builder != builder:
        mark = {"version": builder, "builder": builder}
        await server.set_identity(mark, only_if=state.version)
        if (await _State.of(server)).builder != builder:
            raise lost(server)


class WriteGate:
    """The leave that a collection gives to each change, after the change was noted."""

    def __init__(self, server: ServerClient, *, builder: str = "") -> None:
        """Name the collection, and the mark of the builder that the changes are made by."""
        self._server, self._builder = server, builder
        self._watch = _Watch()

    async def is_open(self) -> bool:
        """Return whether a change may go on that was noted before; wait a moment if not.

        Raises:
            CollectionReplaced: It never may: there is a successor.
            IndexLocked: Another process builds this collection now.
        """
        state = await _State.of(self._server)
        if state.successor:
            raise CollectionReplaced(self._server.where)
        if state.builder != self._builder:
            raise lost(self._server)
        claim = state.rebuild
        if claim is None or not claim.is_closing:
            return True
        if self._watch.sees_end(claim):
            opened = claim.model_copy(update={"is_closing": False}).model_dump()
            over = {"version": IDLE, "rebuild": opened}
            await self._server.set_identity(over, only_if=state.version)
        else:
            await asyncio.sleep(_PAUSE_S)
        return False


def lost(server: ServerClient) -> IndexLocked:
    """Return the error of a process whose claim another one has now."""
    return IndexLocked(
        f"Another process has taken over building the index at {server.where!r} again, or has "
        "ended it. Fix: run ragkit reindex again, once that has ended; it goes on from there."
    )
