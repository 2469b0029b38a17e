"""`Clock`: the time of a test, which passes only when the test says so."""

import time


class Clock:
    """A clock in place of `time.monotonic`, which event loops and time limits read.

    ```python
    monkeypatch.setattr(time, "monotonic", clock)
    ```

    Attributes:
        now: The time in seconds; a test adds to it.
    """

    def __init__(self) -> None:
        """Stop at the time of now."""
        self.now = time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return self.now
