"""A connection to the Qdrant server of the tests: qdrant-client's local mode, or a real one."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

SERVER = os.environ.get("RAGKIT_TEST_QDRANT_URL")
PLAIN_WORDS = models.TextIndexParams(type=models.TextIndexType.TEXT, scoring=True)

Before = Callable[[str], Awaitable[None]]
"""What is done around a request, by its name."""


async def nothing(_: str) -> None:
    pass


class Connection:
    """A client through which requests pass, and which refuses as a server does."""

    def __init__(
        self, client: AsyncQdrantClient, *, before: Before = nothing, after: Before = nothing
    ) -> None:
        self._client, self._before, self._after = client, before, after

    async def close(self) -> None:
        """The client goes on to be used."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        async def request(*args: Any, **options: Any) -> Any:
            await self._before(name)
            try:
                result = await real(*args, **options)
            except ValueError as error:
                raise refused(error) from error
            await self._after(name)
            return result

        return request


def refused(error: ValueError) -> Exception:
    """Return a server's answer to what local mode refuses."""
    status = {"not found": 404, "already exists": 409}
    for words, code in status.items():
        if words in str(error):
            body = b'{"status": {"error": "%s"}}' % str(error).encode()
            return UnexpectedResponse(code, "Reason", body, httpx.Headers())
    return error
