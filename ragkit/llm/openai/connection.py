"""Pooled connections to a server, with deadlines and every failure translated."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx
import httpx_sse

from ragkit.core.errors import ConfigError, ProviderError
from ragkit.core.http_context import pass_on_async
from ragkit.core.http_errors import is_server_url
from ragkit.core.http_pool import reclaim_connections
from ragkit.core.secrets import ServerAddress
from ragkit.core.types import Json
from ragkit.llm.openai.errors import Endpoint, refusal, too_slow, transport_failure, unstreamed

_KEPT = 256
"""Idle connections that are kept open."""
_REST_S = 5.0
"""Seconds for what comes after the reply, since some servers send no usage or never end."""
_EVENT_STREAM = {"Accept": "text/event-stream", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Time limits of a call, in seconds.

    Attributes:
        connect_s: Opening a connection.
        first_token_s: Until the first token, the time in the server's queue included.
        stall_s: Between two tokens.
        total_s: The whole call.
    """

    connect_s: float = 15.0
    first_token_s: float = 120.0
    stall_s: float = 30.0
    total_s: float = 600.0


class Connection:
    """A pool of connections for each event loop that uses it."""

    def __init__(
        self,
        base_url: str,
        *,
        provider: str,
        api_key: str | None,
        patience: Patience,
    ) -> None:
        """Configure; it connects on first use.

        Args:
            base_url: The server's URL, with or without `/v1`.
            provider: The kind of server, for errors.
            api_key: Sent as a bearer token.
            patience: The time limits of a call.

        Raises:
            ConfigError: `base_url` is not a URL.
        """
        address = ServerAddress.parse(base_url, api_key)
        if not is_server_url(address.url):
            raise ConfigError(
                f"{address.url!r} is not a URL. Fix: write it as 'http://127.0.0.1:8000'."
            )
        self.url = address.url.rstrip("/").removesuffix("/v1")
        self.at = Endpoint(url=self.url, provider=provider)
        self._patience = patience
        self._secrets = address.secrets
        sent = f"Bearer {api_key}" if api_key else address.authorization
        self._headers = {"Authorization": sent} if sent else {}
        # `Concurrency` bounds the calls in flight; a second bound here would hide its queue.
        self._limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            WeakKeyDictionary()
        )

    async def fetch(self, method: str, path: str, body: Mapping[str, Json] | None = None) -> bytes:
        """Make a request and return the body of the response.

        Raises:
            RagkitError: No response came, or its status is 400 or above.
        """
        wait = min(self._patience.first_token_s, self._patience.total_s)
        with _translated(self.at):
            async with _within(wait, self.at), self._requesting() as client:
                response = await client.request(method, path, json=body)
        if response.is_error:
            raise refusal(response, self.at, secrets=self._secrets)
        return self._secrets.in_replies().hidden_bytes(response.content)

    async def events(
        self,
        path: str,
        body: Mapping[str, Json],
        *,
        timeout_s: float | None,
        over: Callable[[], bool],
    ) -> AsyncGenerator[str]:
        """Yield the data of each server-sent event, up to `[DONE]` or the end of the stream.

        Closing the generator closes the connection, which frees the server's slot.

        Args:
            path: The path of the request.
            body: Its body.
            timeout_s: The time limit of the call in seconds, None for the usual one.
            over: Returns True after the reply: a stream that stalls or breaks then has ended.

        Raises:
            RagkitError: The status is 400 or above, an event takes too long, or the stream breaks.
        """
        total = timeout_s or self._patience.total_s
        ends = time.monotonic() + total
        request = self.client().build_request("POST", path, json=body, headers=_EVENT_STREAM)
        with _translated(self.at):
            patience = self._patience.first_token_s
            async with _until(ends, total, patience, self.at), self._requesting() as client:
                response = await client.send(request, stream=True)
            try:
                await self._check(response)
                secrets = self._secrets.in_replies()
                events = httpx_sse.EventSource(response).aiter_sse()
                while True:
                    whole = over()
                    try:
                        wait = min(patience, _REST_S) if whole else patience
                        async with _until(ends, total, wait, self.at):
                            event = await anext(events, None)
                    except (ProviderError, httpx.HTTPError, httpx.StreamError):
                        if not whole:
                            raise
                        return
                    data = event.data.strip() if event else "[DONE]"
                    if data == "[DONE]":
                        return
                    if data:
                        yield secrets.hidden(data)
                        patience = self._patience.stall_s
            finally:
                await response.aclose()

    async def _check(self, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "")
        if "text/event-stream" in kind and not response.is_error:
            return
        if response.is_error or "json" in kind:
            async with _within(self._patience.stall_s, self.at):
                await response.aread()
        if response.is_error:
            raise refusal(response, self.at, secrets=self._secrets)
        raise unstreamed(response, self.at, secrets=self._secrets)

    def client(self) -> httpx.AsyncClient:
        """Return the client of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = httpx.AsyncClient(
                base_url=self.url,
                headers=self._headers,
                limits=self._limits,
                timeout=httpx.Timeout(None, connect=self._patience.connect_s),
                event_hooks={"request": [pass_on_async]},
            )
        return self._clients[loop]

    @contextlib.asynccontextmanager
    async def _requesting(self) -> AsyncGenerator[httpx.AsyncClient]:
        client = self.client()
        try:
            yield client
        except BaseException:
            await reclaim_connections(client)
            raise

    async def close(self) -> None:
        """Close the running event loop's connections."""
        if client := self._clients.pop(asyncio.get_running_loop(), None):
            await client.aclose()


@contextlib.contextmanager
def _translated(at: Endpoint) -> Generator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise transport_failure(error, at) from error


@contextlib.asynccontextmanager
async def _within(seconds: float, at: Endpoint) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise too_slow(at, seconds, stalled=False) from error


@contextlib.asynccontextmanager
async def _until(ends: float, total: float, patience: float, at: Endpoint) -> AsyncGenerator[None]:
    """Limit the wait for the next event to its own patience and to the rest of the call's time."""
    left = ends - time.monotonic()
    try:
        async with asyncio.timeout(min(left, patience)):
            yield
    except TimeoutError as error:
        stalled = patience < left
        raise too_slow(at, patience if stalled else total, stalled=stalled) from error
