"""Optimization of an embedded index while it is in use: of a copy, in a process of its own.

The engine builds its graphs in one call, which takes minutes for a million chunks, and no other
thread of the process runs meanwhile. So the folder is held only while it is copied, and while the
optimized copy takes its place; in between it is searched and written as always. Where something was
written in between, the copy is thrown away, and the next call tries again.

Of several processes one optimizes; it has the file `ragkit.optimizer` locked.
"""

import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import qdrant_edge as qe

from ragkit.core.errors import IndexLocked
from ragkit.index import edge_folder
from ragkit.index.edge_points import of_kind
from ragkit.index.edge_store import EdgeStore
from ragkit.index.edge_writer import EdgeWriter
from ragkit.index.folder_lock import sole

logger = logging.getLogger(__name__)

MIN_SHARE = 0.1
"""Chunks written since the last time, relative to all, from which on it is worth while."""
_GRAPH_BYTES = 10_000 * 1024
"""Size of the vectors from which on the engine builds a graph."""
_BYTES = 2
"""Of one number of a stored vector."""
_LOCK = "ragkit.optimizer"
_PROGRAM = """
import os, sys
import qdrant_edge
os.nice(5)
shard = qdrant_edge.EdgeShard.load(sys.argv[1])
shard.optimize()
shard.flush()
shard.close()
os.sync()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptimizer:
    """Optimizes the folder of one index."""

    store: EdgeStore
    writer: EdgeWriter

    def run(self) -> None:
        """Optimize the index where that is worth while, unless another process does."""
        with sole(self._folder / _LOCK) as lock:
            if lock is None:
                return
            try:
                copied = self._copied()
                if copied is not None and self._is_optimized(lock):
                    self._take(copied)
            finally:
                edge_folder.remove_copies(self._folder)

    @property
    def _folder(self) -> Path:
        return self.store.path

    def _has_space(self) -> bool:
        files = (file.stat() for file in self._folder.rglob("*") if file.is_file())
        needed = edge_folder.MIN_FREE_BYTES + sum(512 * file.st_blocks for file in files)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            # Segments are rewritten beside the old ones. Search works without, only slower.
            logger.warning(
                "The index at %r is left unoptimized: %d MiB free, %d MiB needed.",
                str(self._folder), free >> 20, needed >> 20,
            )  # fmt: skip
        return free >= needed

    def _copied(self) -> int | None:
        """Copy the folder; return the count of its writes.

        None where there is too little space, or where it is not worth while.
        """
        with self.store.use() as shard, self.writer.pausing():
            edge_folder.remove_copies(self._folder)  # what a crash left takes space
            writes = edge_folder.read_writes(self._folder)
            if not self._has_space() or not self._is_worth_while(shard, writes):
                return None
            shard.flush()
            edge_folder.copy(self._folder)
            return writes.total

    def _is_worth_while(self, shard: qe.EdgeShard, writes: edge_folder.WriteCounts) -> bool:
        chunks = shard.count(qe.CountRequest(filter=of_kind("chunk", tenant=None)))
        has_graph = shard.info().indexed_vectors_count > 0
        if not has_graph:
            return chunks * self.writer.identity.dimensions * _BYTES >= _GRAPH_BYTES
        return writes.total - writes.optimized >= max(1, MIN_SHARE * chunks)

    def _is_optimized(self, lock: int) -> bool:
        """Optimize the copy, and return whether that succeeded."""
        command = [sys.executable, "-P", "-c", _PROGRAM, str(self._folder / edge_folder.COPY)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, pass_fds=[lock])
        if done.returncode:
            logger.warning(
                "The index at %r is left unoptimized: the optimizer ended with %d. %s",
                str(self._folder), done.returncode, done.stderr[-500:],
            )  # fmt: skip
        return done.returncode == 0

    def _take(self, copied: int) -> None:
        """Put the copy in its place, unless the index was written after it was made."""
        try:
            with self.store.closed():
                writes = edge_folder.read_writes(self._folder)
                if writes.total != copied:
                    logger.info("The index was written while it was optimized: left as it is.")
                    return
                edge_folder.take_copy(self._folder)
                edge_folder.store_writes(
                    self._folder, edge_folder.WriteCounts(total=copied, optimized=copied)
                )
        except IndexLocked as error:
            logger.warning("The index is left unoptimized: %s", error)
