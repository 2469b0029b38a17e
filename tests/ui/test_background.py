import asyncio

import pytest

from ragkit.core.errors import InputError
from ragkit.ui.background import Job, sentence


def test_a_job_gives_its_result_to_any_thread() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    job = Job(work)
    assert job.wait(30)
    assert (job.state, job.result, job.error, job.running) == ("done", 7, "", False)


def test_a_job_that_is_cancelled_has_stopped_when_cancel_returns() -> None:
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    job = Job(work)
    job.cancel()
    assert (job.state, ended) == ("cancelled", [True])


def test_a_failure_is_a_sentence_and_never_a_stack_trace() -> None:
    async def work() -> None:
        raise InputError("The file 'x' is damaged. Fix: send another.")

    async def other() -> None:
        raise ZeroDivisionError("division\n by zero")

    job, strange = Job(work), Job(other)
    assert job.wait(30)
    assert strange.wait(30)
    assert (job.state, job.error) == ("failed", "The file 'x' is damaged. Fix: send another.")
    assert strange.error.startswith("Unexpected ZeroDivisionError: division by zero. Fix:")


@pytest.mark.parametrize("error", [ValueError("a\nb"), InputError("a")])
def test_a_sentence_has_one_line(error: Exception) -> None:
    assert "\n" not in sentence(error)
