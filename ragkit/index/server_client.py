"""A connection to a Qdrant server: retries, bounded concurrency, ordered writes, errors."""

import asyncio
import copy
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from json import JSONDecodeError
from typing import ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

from grpc.aio import AioRpcError
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.context_headers import async_headers
from qdrant_client.http.exceptions import ApiException

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.operation import trace_headers
from ragkit.core.secrets import ServerAddress, without_credentials
from ragkit.core.settings import IndexSettings
from ragkit.index import server_points
from ragkit.index.layout import IDENTITY_ID, Payload
from ragkit.index.server_errors import provider_error

_CONCURRENT = 16
PAGE = 1000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_CONNECT_S = 2.0
"""Seconds of retries before the first connection, when the server is most likely not running."""
_SHORTEST_INDEXING_S = 120
_READS = 5
"""Attempts at most to read a point that others change."""
_HTTPS, _QDRANT = 443, 6333

_now, _sleep = time.monotonic, asyncio.sleep

P = ParamSpec("P")
T = TypeVar("T")


class _Connection:
    """The state that the clients of several collections share."""

    def __init__(self, retry_s: float) -> None:
        self.slots = asyncio.Semaphore(_CONCURRENT)
        self.is_closed = False
        self.retry_s = retry_s
        self.ordering: models.WriteOrdering | None = None
        self.consistency: models.ReadConsistencyType | None = None


class ServerClient:
    """One collection on a server, shared by the reads and writes of an index."""

    def __init__(self, client: AsyncQdrantClient, settings: IndexSettings) -> None:
        """Wrap a client, which is closed with this object."""
        self.client = client
        self.name = settings.collection
        self._alias = settings.collection
        self.location = without_credentials(settings.location)
        self._secrets = _address(settings).secrets
        self._settings = settings
        self._connection = _Connection(min(_CONNECT_S, settings.retry_s))

    def named(self, collection: str) -> Self:
        """Return a client for another collection, over the same connections."""
        other = copy.copy(self)
        other.name = collection
        return other

    @property
    def is_aliased(self) -> bool:
        """True where the collection has another name than the index."""
        return self.name != self._alias

    @property
    def where(self) -> str:
        """The server and the name of the index, for messages."""
        return f"{self.location} ({self._alias})"

    @property
    def indexing_timeout_s(self) -> int:
        """Seconds that building a payload index may take."""
        return max(_SHORTEST_INDEXING_S, int(self._settings.timeout_s))

    def connected(self, replicas: int) -> None:
        """Retry for as long as is set from now on, and order writes where there are replicas."""
        self._connection.retry_s = self._settings.retry_s
        if replicas > 1:
            self._connection.ordering = models.WriteOrdering.STRONG
            self._connection.consistency = models.ReadConsistencyType.MAJORITY

    async def identity(self) -> Payload | None:
        """Return the payload of the point that says which index this is; None without one.

        A majority of replicas agrees on no point while it is changed.
        """
        for attempt in range(_READS if self._connection.consistency else 1):
            if attempt:
                await _sleep(_FIRST_PAUSE_S)
            if payload := (await self.retrieve([IDENTITY_ID])).get(IDENTITY_ID):
                return payload
        return None

    async def retrieve(
        self, ids: Sequence[str], *, keys: Sequence[str] | None = None
    ) -> dict[str, Payload | None]:
        """Return the payloads (of these keys, if any) of the points with these ids."""
        payloads: dict[str, Payload | None] = {}
        for page in server_points.pages(ids, PAGE):
            found = await self.call(
                self.client.retrieve,
                self.name,
                page,
                with_payload=True if keys is None else list(keys) or False,
                consistency=self._connection.consistency,
            )
            payloads.update((str(point.id), point.payload) for point in found)
        return payloads

    async def scroll(
        self, condition: models.Filter, *, keys: Sequence[str] | None = None
    ) -> dict[str, Payload | None]:
        """Return the payloads (of these keys, if any) of all points that meet a condition."""
        payloads: dict[str, Payload | None] = {}
        following = None
        while True:
            page, following = await self.call(
                self.client.scroll,
                self.name,
                scroll_filter=condition,
                limit=PAGE,
                offset=following,
                with_payload=True if keys is None else list(keys),
                consistency=self._connection.consistency,
            )
            payloads.update((str(point.id), point.payload) for point in page)
            if following is None:
                return payloads

    async def facet(self, key: str, condition: models.Filter) -> Mapping[str, int]:
        """Return the number of points that meet a condition for each value of a key."""
        limit = PAGE
        while True:
            answer = await self.call(
                self.client.facet, self.name, key, condition, limit=limit, exact=True
            )
            if len(answer.hits) < limit:
                return {str(hit.value): hit.count for hit in answer.hits if hit.count}
            limit *= 8

    async def upsert(
        self,
        points: Sequence[models.PointStruct],
        *,
        only_if: models.Filter | None = None,
        mode: models.UpdateMode | None = None,
    ) -> None:
        """Store points; those that exist only where they meet `only_if`."""
        await self.call(
            self.client.upsert,
            self.name,
            points,
            wait=True,
            ordering=self._connection.ordering,
            update_filter=only_if,
            update_mode=mode,
        )

    async def set_identity(self, payload: Payload, *, only_if: str) -> None:
        """Set keys of the identity's payload, where its `version` is `only_if`."""
        condition = server_points.of_kind("identity", tenant=None, version=only_if)
        await self.call(
            self.client.set_payload,
            self.name,
            payload,
            condition,
            wait=True,
            ordering=self._connection.ordering,
        )

    async def delete(self, selected: models.Filter | Sequence[str]) -> None:
        """Delete the points that meet a condition, or those with these ids."""
        selector: models.FilterSelector | models.PointIdsList
        if isinstance(selected, models.Filter):
            selector = models.FilterSelector(filter=selected)
        else:
            selector = models.PointIdsList(points=list[models.ExtendedPointId](selected))
        await self.call(
            self.client.delete, self.name, selector, wait=True, ordering=self._connection.ordering
        )

    async def call(
        self, request: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Send a request, all of which may be repeated, until it succeeds or the time is up."""
        deadline = _now() + self._connection.retry_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._once(request, *args, **kwargs)
            except ProviderError as error:
                if not error.retryable or _now() + pause > deadline:
                    raise
            await _sleep(pause * random.uniform(0.75, 1.25))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _once(
        self, request: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self.check_open()
        async with self._connection.slots, async_headers(trace_headers()):
            try:
                return await request(*args, **kwargs)
            except (ApiException, QdrantException, AioRpcError, JSONDecodeError) as error:
                raise provider_error(
                    error, self.location, secrets=self._secrets
                ) from self._secrets.cause(error)

    def check_open(self) -> None:
        """Raise `InputError` after `close`."""
        if self._connection.is_closed:
            raise InputError(f"The index at {self.where!r} is closed.")

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        if not self._connection.is_closed:
            self._connection.is_closed = True
            await self.client.close()


def open_client(settings: IndexSettings) -> AsyncQdrantClient:
    """Return a client for the server at `settings.location`; nothing is sent yet.

    Raises:
        ConfigError: The location is no URL.
    """
    address = _address(settings)
    headers = {"authorization": address.authorization} if address.authorization else None
    try:
        return AsyncQdrantClient(
            url=with_port(address.url),
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            headers=headers,
            timeout=max(1, round(settings.timeout_s)),
            grpc_port=settings.grpc_port or 6334,
            prefer_grpc=settings.grpc_port is not None,
            check_compatibility=False,  # `QdrantIndex.connect` does, and names the fix
        )
    except ValueError as error:
        raise ConfigError(
            f"index.location {address.url!r} is no URL of a server: {error}. "
            "Fix: write it like http://localhost:6333"
        ) from error


def with_port(url: str) -> str:
    """Return the URL with its port: 443 for https and 6333 for http where it has none."""
    parts = urlsplit(url)
    if parts.port is not None or not parts.hostname:
        return url
    port = _HTTPS if parts.scheme == "https" else _QDRANT
    return parts._replace(netloc=f"{parts.netloc}:{port}").geturl()


def _address(settings: IndexSettings) -> ServerAddress:
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return ServerAddress.parse(settings.location, key)
