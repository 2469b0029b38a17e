import threading

from ragkit.core.errors import IndexLocked
from ragkit.ui.readiness import LoadStep, Readiness


def test_steps_are_loaded_in_the_background_with_a_state_that_can_be_shown() -> None:
    gate, seen = threading.Event(), list[str]()

    def wait() -> None:
        gate.wait(30)

    loading = Readiness(
        [LoadStep(name="model", load=wait), LoadStep(name="index", load=lambda: seen.append("i"))]
    )
    loading.start()
    loading.start()
    assert [step.state for step in loading.steps][1] == "waiting"
    assert not loading.ended
    gate.set()
    assert loading.wait(30)
    assert [step.state for step in loading.steps] == ["ready", "ready"]
    assert seen == ["i"]


def test_what_failed_says_why_and_is_tried_again_alone() -> None:
    tries, loaded = list[int](), list[int]()

    def open_index() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise IndexLocked("The index is open elsewhere. Fix: close it there.")

    loading = Readiness(
        [
            LoadStep(name="model", load=lambda: loaded.append(1)),
            LoadStep(name="index", load=open_index),
        ]
    )
    loading.start()
    assert loading.wait(30)
    failed = loading.failures[0]
    assert (failed.name, failed.error) == (
        "index",
        "The index is open elsewhere. Fix: close it there.",
    )
    loading.retry()
    assert loading.wait(30)
    assert (loading.failures, len(tries), len(loaded)) == ([], 2, 1)
