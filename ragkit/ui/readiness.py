"""Loading of models and index in the background, with a state that pages show."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ragkit.ui.background import sentence

StepState: TypeAlias = Literal["waiting", "loading", "ready", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """One thing to load."""

    name: str
    load: Callable[[], object]
    state: StepState = "waiting"
    seconds: float = 0.0
    error: str = ""


class Readiness:
    """Loads things one after the other in a thread; safe to start and to read from anywhere."""

    def __init__(self, steps: Sequence[LoadStep]) -> None:
        """Name the steps; `start` begins."""
        self._steps = list(steps)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def steps(self) -> list[LoadStep]:
        """The steps as they are now."""
        return list(self._steps)

    @property
    def ended(self) -> bool:
        """True once every step is ready or has failed."""
        return self._ended.is_set()

    @property
    def failures(self) -> list[LoadStep]:
        """The steps that failed."""
        return [step for step in self._steps if step.state == "failed"]

    def start(self) -> None:
        """Begin, unless that was done before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ragkit-load", daemon=True)
                self._thread.start()

    def retry(self) -> None:
        """Load again what failed."""
        if not self._ended.is_set():
            return
        with self._lock:
            self._ended.clear()
            self._thread = None
        self.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; returns True once it has ended."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        for number, step in enumerate(self._steps):
            if step.state == "ready":
                continue
            self._steps[number] = replace(step, state="loading", error="")
            started = time.monotonic()
            try:
                step.load()
                state: StepState = "ready"
                error = ""
            except Exception as raised:  # noqa: BLE001  # shown on the page, whatever it is
                state, error = "failed", sentence(raised)
            seconds = time.monotonic() - started
            self._steps[number] = replace(step, state=state, seconds=seconds, error=error)
        self._ended.set()
