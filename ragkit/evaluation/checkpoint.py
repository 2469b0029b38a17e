"""Finished queries of an evaluation, kept by content, so that a killed run can be resumed."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TypeVar

from pydantic import TypeAdapter

from ragkit.evaluation.fingerprint import digest

T = TypeVar("T")


class Checkpoint:
    """Results of finished queries, by the run's identity, the stage and the query."""

    def __init__(
        self, store: MutableMapping[str, str], *, identity: str, fresh: bool = False
    ) -> None:
        """Keep results in `store`; with `fresh` earlier ones are replaced instead of used.

        Args:
            store: A mapping, such as a `FileReplies`.
            identity: A digest of everything that decides a result beside stage and query.
            fresh: Replace earlier results.
        """
        self._store = store
        self._identity = identity
        self._fresh = fresh

    @classmethod
    def in_memory(cls) -> "Checkpoint":
        """Make a checkpoint for one run."""
        return cls({}, identity="")

    async def once(self, kind: TypeAdapter[T], make: Callable[[], Awaitable[T]], *parts: str) -> T:
        """Return the result that is kept under these parts, or make and keep it."""
        key = digest(self._identity, *parts)
        kept = None if self._fresh else self._store.get(key)
        if kept is not None:
            return kind.validate_json(kept)
        made = await make()
        self._store[key] = kind.dump_json(made).decode()
        return made
