"""An index behind a ragkit server, `ragkit:http://host:port`: many processes share one store."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay

from ragkit.core.errors import (
    ConfigError,
    Failure,
    IndexLocked,
    IndexMissing,
    InputError,
    ProviderError,
    RagkitError,
)
from ragkit.core.http_context import pass_on_async
from ragkit.core.http_errors import is_server_url, transport_error
from ragkit.core.http_pool import reclaim_connections
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.secrets import ServerAddress
from ragkit.core.settings import IndexSettings
from ragkit.core.tenant import check_tenant
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)
from ragkit.index.build import REMOTE
from ragkit.index.layout import check_identity
from ragkit.index.remote_wire import (
    WRONG_TENANT,
    ChunksBody,
    CommitCall,
    CountBody,
    DoneBody,
    EntryBody,
    FoundLegs,
    IdsCall,
    IndexFacts,
    RecordsBody,
    RecordsCall,
    SearchCall,
    UrisCall,
    VectorRows,
    VersionsBody,
    VersionsCall,
    WireModel,
)
from ragkit.index.validation import check_entries, check_leg_query, check_uris

PROVIDER = "ragkit-server"
_START = "ragkit serve, or correct the URL"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_CONNECT_S = 2.0
"""Seconds of retries before the first connection, when the server is most likely not running."""
_LATER = frozenset({"rate_limit_exceeded", "server_busy", "shutting_down", ""})
"""Codes of refusals before anything was done; a proxy's has none."""
_REQUEST_CHUNKS = 2000
"""Chunks of the documents that are sent together, unless one document alone has more."""

Body = TypeVar("Body", bound=BaseModel)


class RemoteIndex:
    """The index of a ragkit server, as one tenant's key reaches it.

    May be used from any number of event loops at once.
    """

    def __init__(
        self, settings: IndexSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Configure; see `open`."""
        key = settings.api_key.get_secret_value() if settings.api_key else None
        address = ServerAddress.parse(settings.location.removeprefix(REMOTE), key)
        self._url = address.url.rstrip("/").removesuffix("/v1")
        self._secrets = address.secrets
        if not is_server_url(self._url):
            raise ConfigError(
                f"{settings.location!r} names no server. Fix: write ragkit:http://HOST:PORT."
            )
        sent = f"Bearer {key}" if key else address.authorization
        self._headers = {"Authorization": sent} if sent else {}
        self._settings = settings
        self._transport = transport
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            WeakKeyDictionary()
        )
        self._facts: IndexFacts | None = None
        self._is_away = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        settings: IndexSettings,
        identity: IndexIdentity,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> "RemoteIndex":
        """Connect to the index of a server.

        Args:
            settings: Its `location` is `ragkit:` and the server's URL.
            identity: The parts that the index must have been built with; the language and the
                searched prefix are the server's own.
            transport: In place of the network.

        Raises:
            ConfigError: The location is no URL, or a declared field is not one of the server's.
            IndexMismatch: It was built with other parts.
            ProviderError: The server does not answer, or refuses the key.
        """
        index = cls(settings, transport=transport)
        try:
            index._facts = index._checked(await index._call("GET", "", None, IndexFacts), identity)
        except BaseException:
            await index.close()
            raise
        return index

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
        return self._known.identity

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._known.fields

    @property
    def writable(self) -> bool:
        """False where the key that the index was opened with only reads."""
        return self._known.writable

    async def search(self, query: LegQuery) -> Legs:
        """See `Index.search`."""
        self._check_open()
        check_leg_query(query, self.identity, self.fields)
        return (await self._post("search", SearchCall.of(query), FoundLegs)).legs()

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """See `Index.fetch`."""
        call = IdsCall(ids=list(ids), tenant=check_tenant(tenant))
        return (await self._post("fetch", call, ChunksBody)).chunks

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """See `Index.chunks`."""
        call = UrisCall(uris=check_uris(uris), tenant=check_tenant(tenant))
        return (await self._post("chunks", call, ChunksBody)).chunks

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """See `Index.vectors`."""
        call = IdsCall(ids=list(ids), tenant=check_tenant(tenant))
        return (await self._post("vectors", call, VectorRows)).array()

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """See `Index.records`; without a tenant, those of every tenant that the key reaches."""
        named = None if uris is None else check_uris(uris)
        call = RecordsCall(uris=named, tenant=tenant, source=source)
        return (await self._post("records", call, RecordsBody)).records

    async def commit(self, entries: Sequence[Entry]) -> None:
        """See `Index.commit`; a failure in the middle leaves the documents before it stored."""
        self._check_open()
        check_entries(entries, self.identity)
        together: list[Entry] = []
        for entry in entries:
            known = sum(len(one.chunks) for one in together)
            if together and known + len(entry.chunks) > _REQUEST_CHUNKS:
                await self._commit(together)
                together = []
            together.append(entry)
        if together:
            await self._commit(together)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """See `Index.touch`."""
        await self._post("touch", RecordsBody(records=list(records)), DoneBody)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """See `Index.delete`."""
        call = UrisCall(uris=check_uris(uris), tenant=check_tenant(tenant))
        return (await self._post("delete", call, CountBody)).count

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """See `Index.versions`; without a tenant, those of every tenant that the key reaches."""
        return (await self._post("versions", VersionsCall(tenant=tenant), VersionsBody)).versions

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """See `Index.drop`."""
        await self._post("drop", VersionsBody(versions=list(versions)), DoneBody)

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """See `Index.discard`."""
        return (await self._post("discard", RecordsBody(records=list(records)), CountBody)).count

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """See `Index.incomplete`."""
        sent = RecordsBody(records=list(records))
        return (await self._post("incomplete", sent, RecordsBody)).records

    async def optimize(self) -> None:
        """See `Index.optimize`."""
        await self._post("optimize", DoneBody(), DoneBody)

    async def close(self) -> None:
        """Close the connections of this event loop; safe to call twice."""
        self._closed = True
        if client := self._clients.pop(asyncio.get_running_loop(), None):
            await client.aclose()

    def _checked(self, facts: IndexFacts, identity: IndexIdentity) -> IndexFacts:
        stored = facts.identity
        wanted = replace(
            identity, search_dimensions=stored.search_dimensions, language=stored.language
        )
        check_identity(stored, wanted, location=self._url)
        unknown = dict(self._settings.fields.items() - facts.fields.items())
        if unknown:
            raise ConfigError(
                f"{self._url} does not have the fields {unknown}. "
                "Fix: declare them in the server's own settings, under [index.fields]."
            )
        return facts

    async def _commit(self, entries: Sequence[Entry]) -> None:
        bodies = [EntryBody.of(entry) for entry in entries]
        await self._post("commit", CommitCall(entries=bodies), DoneBody)

    @property
    def _known(self) -> IndexFacts:
        if self._facts is None:
            raise InputError(f"The index of {self._url} is not connected.")
        return self._facts

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"The index of {self._url} is closed.")

    async def _post(self, name: str, body: WireModel, kind: type[Body]) -> Body:
        return await self._call("POST", f"/{name}", body, kind)

    async def _call(self, method: str, path: str, body: WireModel | None, kind: type[Body]) -> Body:
        """Make a call, again for as long as the settings say where the server is not there.

        After a call that waited in vain, one try is enough until the server answers again.
        """
        self._check_open()
        sent = None if body is None else body.model_dump_json(by_alias=True).encode()
        calls = AsyncRetrying(
            stop=stop_after_delay(self._patience_s),
            wait=_pause,
            retry=retry_if_exception(_was_not_done),
            reraise=True,
        )
        try:
            content: bytes = await calls(self._send, method, f"/v1/index{path}", sent)
        except RagkitError as error:
            self._is_away = _was_not_done(error)
            raise
        self._is_away = False
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise ProviderError(
                f"{self._url} sent a reply that is not a ragkit server's.", provider=PROVIDER
            ) from error

    @property
    def _patience_s(self) -> float:
        if self._is_away:
            return 0.0
        longest = self._settings.retry_s
        return longest if self._facts else min(_CONNECT_S, longest)

    async def _send(self, method: str, path: str, content: bytes | None) -> bytes:
        headers = {} if content is None else {"Content-Type": "application/json"}
        client = self._client()
        try:
            response = await client.request(method, path, content=content, headers=headers)
        except asyncio.CancelledError:
            await reclaim_connections(client)
            raise
        except httpx.HTTPError as error:
            raise transport_error(
                error, url=self._url, provider=PROVIDER, start=_START, wait="raise index.timeout_s"
            ) from error
        if response.is_error:
            received = self._secrets.hidden_bytes(response.content)
            raise _refusal(response, received, self._url)
        return self._secrets.in_replies().hidden_bytes(response.content)

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = httpx.AsyncClient(
                base_url=self._url,
                headers=self._headers,
                timeout=self._settings.timeout_s,
                transport=self._transport,
                event_hooks={"request": [pass_on_async]},
            )
        return self._clients[loop]


def _was_not_done(error: BaseException) -> bool:
    """Return whether a call was refused before anything was done, and may be made again."""
    if isinstance(error, ProviderError):
        connecting = isinstance(error.__cause__, httpx.ConnectTimeout)
        return connecting or error.failure in {"refused", "overloaded"}
    return isinstance(error, IndexLocked)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after_s if isinstance(error, ProviderError) else None
    doubled = _FIRST_PAUSE_S * 2.0 ** min(state.attempt_number - 1, 10)
    return min(_LONGEST_PAUSE_S, asked if asked is not None else doubled)


def _refusal(response: httpx.Response, received: bytes, url: str) -> RagkitError:
    status = response.status_code
    try:
        error = json.loads(received)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", received.decode(errors="replace")[:200]
    match code:
        case "invalid_input" | "invalid_value":
            return InputError(message)
        case "not_ready":
            return IndexMissing(f"{REMOTE}{url}")
        case "index_locked":
            return IndexLocked(f"{url}: {message}")
        case "too_large":
            return InputError(f"{url} takes no document of this size. Fix: --max-body-mb there.")
        case _:
            pass
    fix = {
        WRONG_TENANT: " Fix: choose that tenant (--tenant, RAGKIT_TENANT), or use another key.",
        401: " Fix: set index.api_key (RAGKIT_INDEX__API_KEY).",
        403: " Fix: use a key that may do this.",
        404: " Fix: update that server's ragkit.",
    }
    retry_after = response.headers.get("Retry-After", "")
    return ProviderError(
        f"{url} answered {status}: {message}{fix.get(code, fix.get(status, ''))}",
        provider=PROVIDER,
        status=status,
        retryable=status == 429 or status >= 500,
        failure=_failure(status, code),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
    )


def _failure(status: int, code: str) -> Failure:
    if status in {429, 503} and code in _LATER:
        return "overloaded"
    return "rejected" if status < 500 else "failed"
