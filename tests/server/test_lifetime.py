import asyncio
from typing import Any

import pytest
from fastapi import Request

from ragkit.server.errors import ApiError
from ragkit.server.lifetime import while_connected


def request() -> Request:
    """A request whose client stays."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    return Request({"type": "http"}, receive)


async def test_errors_of_two_requests_are_two_errors() -> None:
    found: list[ApiError] = []
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            await while_connected(request(), asyncio.Event().wait(), seconds=0)
        found.append(caught.value)
    # One error for all would keep what every request held, by its traceback.
    assert found[0] is not found[1]


async def test_a_failure_of_the_work_is_passed_on() -> None:
    async def work() -> None:
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        await while_connected(request(), work(), seconds=60)
