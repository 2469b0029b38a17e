"""The claim of the one process that builds an index on a server again.

It stands in the payload of the collection's identity, which is changed only where its `version` is
still the one that was read: compare-and-swap. A claim runs out unless it is renewed. Before the
collection makes way for its successor, its claim is *closing*: no writer begins a change from then
on. A writer notes its change first and then looks at the claim, and `closing` is set before the
notes are read, so that each change is seen by the one or stopped by the other.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

from pydantic import BaseModel, ConfigDict

from ragkit.core.errors import IndexLocked, ProviderError
from ragkit.index.layout import IDLE, Payload
from ragkit.index.process import has_ended, this_process
from ragkit.index.server_client import ServerClient
from ragkit.index.server_errors import CollectionReplaced

LEASE_S = 60.0
"""Seconds after which a claim that was not renewed is over."""
_PAUSE_S = 0.25
"""Seconds between two looks at a claim that is closing."""


class _Claim(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    generation: str
    process: str
    expires_at: float
    is_closing: bool

    @property
    def is_over(self) -> bool:
        """True where its lease has run out or its process has ended."""
        return time.time() > self.expires_at or has_ended(self.process)


class _State(BaseModel):
    """The state of a collection, as its identity has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = IDLE
    rebuild: _Claim | None = None
    successor: str = ""

    @classmethod
    async def of(cls, server: ServerClient) -> Self:
        return cls.model_validate(await server.identity() or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildClaim:
    """The right to build a collection's successor, and to replace it.

    Attributes:
        server: The collection.
        version: Of the identity, while this claim holds.
        generation: The name of the successor.
        left: The name of the successor that an earlier process did not finish; empty if none.
    """

    server: ServerClient
    version: str
    generation: str
    left: str

    @classmethod
    async def take(cls, server: ServerClient, generation: str) -> Self:
        """Claim a collection.

        Raises:
            IndexLocked: Another process has the claim.
        """
        state = await _State.of(server)
        other = state.rebuild
        if other is not None and state.version != IDLE and not other.is_over:
            raise _locked(server, other.process)
        left = other.generation if other is not None else ""
        claim = cls(server=server, version=uuid.uuid4().hex, generation=generation, left=left)
        await server.set_identity(claim._payload(), only_if=state.version)
        await claim.check()
        return claim

    async def check(self) -> None:
        """Check that the claim still holds.

        Raises:
            IndexLocked: Another process has taken it over.
        """
        state = await _State.of(self.server)
        if state.version != self.version:
            raise _locked(self.server, state.rebuild.process if state.rebuild else "")

    async def renew(self, *, is_closing: bool = False) -> None:
        """Renew the claim, closing or not."""
        await self.server.set_identity(self._payload(is_closing=is_closing), only_if=self.version)

    async def release(self) -> None:
        """Give the claim back; what was built is named for the next process."""
        over = {**self._payload(), "version": IDLE}
        await self.server.set_identity(over, only_if=self.version)

    async def replace(self, successor: str) -> None:
        """Let the successor be the index from now on; whoever comes by moves the alias.

        Raises:
            IndexLocked: Another process has taken the claim over.
        """
        await self.server.set_identity({"successor": successor}, only_if=self.version)
        try:
            await self.check()
        except ProviderError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise  # else another process has seen the successor, and removed this one

    def _payload(self, *, is_closing: bool = False) -> Payload:
        claim = _Claim(
            generation=self.generation,
            process=this_process(),
            expires_at=time.time() + LEASE_S,
            is_closing=is_closing,
        )
        return {"version": self.version, "rebuild": claim.model_dump()}


async def takes_writes(server: ServerClient) -> bool:
    """Return whether a change may go on that was noted before; wait a moment if not.

    Raises:
        CollectionReplaced: It never may: there is a successor.
    """
    state = await _State.of(server)
    if state.successor:
        raise CollectionReplaced(server.where)
    claim = state.rebuild
    if claim is None or state.version == IDLE or not claim.is_closing:
        return True
    if claim.is_over:
        over = {"version": IDLE, "rebuild": claim.model_dump()}
        await server.set_identity(over, only_if=state.version)
    else:
        await asyncio.sleep(_PAUSE_S)
    return False


def _locked(server: ServerClient, process: str) -> IndexLocked:
    return IndexLocked(
        f"The index at {server.where!r} is being built again by "
        f"{process or 'another process'}. Fix: wait for its end."
    )
