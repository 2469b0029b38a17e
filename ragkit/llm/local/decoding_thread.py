"""`DecodingThread`: the thread that decodes jobs of a model, batch by batch."""

import queue
import threading
import time
from collections.abc import Sequence

from ragkit.llm.local.decoding import DecodingJob, Loaded, decode_batch

_GATHER_S = 0.002
"""Seconds that the first job of a batch waits for others."""


class DecodingThread:
    """Decodes what is submitted until it is closed; a later thread has a queue of its own."""

    def __init__(self, loaded: Loaded, *, max_batch: int) -> None:
        """Start the thread."""
        self._loaded = loaded
        self._max_batch = max_batch
        self._jobs: queue.SimpleQueue[DecodingJob | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ragkit-decoding", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[DecodingJob]) -> None:
        """Queue jobs; not to be called after `close`."""
        for job in jobs:
            self._jobs.put(job)

    def close(self) -> None:
        """Wait until every job is decoded, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, closed = self._gathered(first)
            waiting = [job for job in batch if not job.cancelled.is_set()]
            try:
                if waiting:
                    decode_batch(waiting, self._loaded)
            except Exception as error:  # noqa: BLE001  # each waiting call raises it
                for job in waiting:
                    job.emit(error)
            if closed:
                return

    def _gathered(self, first: DecodingJob) -> tuple[list[DecodingJob], bool]:
        """Return the jobs that have arrived by now, and True where the thread was closed."""
        time.sleep(_GATHER_S)
        batch = [first]
        while len(batch) < self._max_batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False
