"""An embedded store that is open only while it is used, or until another process wants it."""

import ctypes
import logging
import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import qdrant_edge as qe

from ragkit.core.errors import InputError
from ragkit.index import edge_folder
from ragkit.index.folder_lock import FolderLock

logger = logging.getLogger(__name__)

_WATCH_S = 0.02
"""Seconds between two looks at whether another process waits."""
_SLICE_S = 0.05
"""Seconds for which a store stays open at least, so that two busy processes get something done."""
_DRAIN_S = 2.0
"""Seconds for which a fork waits for work that is under way."""

_stores: "weakref.WeakSet[EdgeStore]" = weakref.WeakSet()


class EdgeStore:
    """A shard in a folder, opened when it is needed and released when another process waits.

    Any number of threads use it at the same time. It survives a fork: the child opens the folder
    for itself.
    """

    def __init__(
        self, path: Path, *, wait_s: float, opened: Callable[[qe.EdgeShard], None]
    ) -> None:
        """Name the folder; nothing is opened yet.

        Args:
            path: Folder of the shard, which must be there.
            wait_s: Seconds to wait for another process.
            opened: Called with the shard each time that it was opened.
        """
        self.path = path
        self._opened = opened
        self._lock = FolderLock(path, wait_s=wait_s)
        self._begin()
        _stores.add(self)

    def _begin(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._shard: qe.EdgeShard | None = None
        self._users = 0
        self._wanted = False
        self._closed = False

    @contextmanager
    def use(self) -> Generator[qe.EdgeShard]:
        """Open the store if it is not, and keep it open meanwhile.

        Raises:
            IndexLocked: Another process did not release it in time.
            InputError: It is closed.
        """
        with self._changed:
            while self._wanted and not self._closed:
                self._changed.wait()
            self.check_open()
            shard = self._shard or self._open()
            self._users += 1
        try:
            yield shard
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def use_if_open(self) -> Generator[qe.EdgeShard | None]:
        """Use the store without waiting, or yield None where it is not open or about to close."""
        shard = None
        if self._changed.acquire(blocking=False):
            try:
                self.check_open()
                shard = None if self._wanted else self._shard
                self._users += shard is not None
            finally:
                self._changed.release()
        if shard is None:
            yield None
            return
        try:
            yield shard
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def check_open(self) -> None:
        """Raise `InputError` after `close`."""
        if self._closed:
            raise InputError(f"The index at {str(self.path)!r} is closed.")

    def _open(self) -> qe.EdgeShard:
        self._lock.acquire()
        try:
            edge_folder.finish_replacement(self.path)
            shard = qe.EdgeShard.load(str(self.path))
            try:
                self._opened(shard)
            except BaseException:
                shard.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._shard = shard
        threading.Thread(target=self._watch, args=(shard,), name="ragkit-edge", daemon=True).start()
        return shard

    def _watch(self, shard: qe.EdgeShard) -> None:
        """Release the store when another process waits for it."""
        changed, pause = self._changed, threading.Event()
        pause.wait(_SLICE_S)
        while self._shard is shard:
            if self._lock.is_wanted():
                with changed:
                    self._release()
                return
            pause.wait(_WATCH_S)

    def _release(self, *, timeout: float | None = None) -> None:
        """Wait until nobody uses the store, and close it; called with the condition held."""
        self._wanted = True
        try:
            if self._changed.wait_for(lambda: self._users == 0, timeout) and self._shard:
                self._shard.close()
                self._shard = None
                self._lock.release()
        finally:
            self._wanted = False
            self._changed.notify_all()

    @contextmanager
    def closed(self) -> Generator[None]:
        """Hold the folder while the store is not open anywhere, so that its files may change.

        Raises:
            IndexLocked: Another process did not release it in time.
            InputError: The store is closed for good.
        """
        with self._changed:
            while self._wanted and not self._closed:
                self._changed.wait()
            self.check_open()
            self._wanted = True
            try:
                self._changed.wait_for(lambda: self._users == 0)
                if self._shard is None:
                    self._lock.acquire()
                else:
                    self._shard.close()
                    self._shard = None
                yield
            finally:
                self._lock.release()
                self._wanted = False
                self._changed.notify_all()

    def close(self) -> None:
        """Close the store for good; safe to call twice."""
        with self._changed:
            self._release()
            self._closed = True

    def before_fork(self) -> None:
        """Release the store, so that the child inherits nothing of it."""
        with self._changed:
            self._release(timeout=_DRAIN_S)

    def after_fork(self) -> None:
        """Forget, in a child, a store that its parent was using when it forked."""
        shard, closed = self._shard, self._closed
        if shard is not None:
            # The parent's: it must neither be closed nor be dropped here, ever.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(shard))
        self._lock.forget()
        _close_descriptors(self.path)
        self._begin()
        self._closed = closed


def _close_descriptors(folder: Path) -> None:
    """Close the inherited descriptors of files in a folder: they would keep its locks held."""
    descriptors = Path("/proc/self/fd")
    for entry in list(descriptors.iterdir()) if descriptors.is_dir() else []:
        with suppress(OSError):
            if entry.readlink().is_relative_to(folder.resolve()):
                os.close(int(entry.name))


def _before_fork() -> None:
    for store in list(_stores):
        store.before_fork()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store.after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
