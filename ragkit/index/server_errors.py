"""Errors of a Qdrant server and its client, in ragkit's terms."""

from collections.abc import Mapping
from http import HTTPStatus

import httpx
from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ragkit.core.errors import ProviderError
from ragkit.core.secrets import NO_SECRETS, Secrets

PROVIDER = "qdrant"
_SHOWN = 1000
OLDEST_SERVER = (1, 20)
"""The first release with BM25 over a text index."""


class CollectionReplaced(ProviderError):
    """The collection of an index made way for another one, by `ragkit reindex`."""

    def __init__(self, where: str) -> None:
        """Name the index."""
        super().__init__(
            f"The index at {where!r} was built again, and its collection is another one now. "
            "Fix: try again.",
            provider=PROVIDER,
            retryable=True,
        )


def check_version(version: str, location: str) -> None:
    """Check that a server is new enough to have BM25 over text indexes.

    Raises:
        ProviderError: It is not.
    """
    numbers = version.split(".")[:2]
    if not all(number.isdecimal() for number in numbers):
        return  # a build from source
    if tuple(map(int, numbers)) < OLDEST_SERVER:
        raise ProviderError(
            f"The Qdrant server at {location!r} has version {version}, and ragkit needs "
            f"{'.'.join(map(str, OLDEST_SERVER))} or newer. Fix: docker compose pull qdrant",
            provider=PROVIDER,
        )


def provider_error(
    error: Exception, location: str, *, secrets: Secrets = NO_SECRETS
) -> ProviderError:
    """Translate an error of the client; secrets that the server repeats are hidden."""
    shown = _translated(error, location)
    return ProviderError(
        secrets.hidden(str(shown)),
        provider=PROVIDER,
        status=shown.status,
        retryable=shown.retryable,
    )


def _translated(error: Exception, location: str) -> ProviderError:
    where = f"The Qdrant server at {location!r}"
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        if status in _UNKNOWN_PATH and not _is_qdrants(error):
            return ProviderError(
                f"{location!r} is no Qdrant server: it answered {status} to a request that Qdrant "
                "knows. Fix: give the URL of Qdrant, such as http://localhost:6333. A ragkit "
                "server (ragkit serve) is asked over HTTP, and is no index that can be opened.",
                provider=PROVIDER,
                status=status,
            )
        return ProviderError(
            f"{where} answered {status}: {_reason(error)}{_REMEDIES.get(status, '')}",
            provider=PROVIDER,
            status=status,
            retryable=status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500,
        )
    if isinstance(error, ResourceExhaustedResponse):
        return ProviderError(
            f"{where} is overloaded: {error}",
            provider=PROVIDER,
            status=HTTPStatus.TOO_MANY_REQUESTS,
            retryable=True,
        )
    if isinstance(error, AioRpcError):
        return _grpc_error(error, where)
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, httpx.ConnectError | httpx.ConnectTimeout):
        message = f"cannot be reached ({source}). {_START}"
    elif isinstance(source, httpx.TimeoutException):
        message = _TOO_SLOW
    elif isinstance(source, httpx.TransportError):
        message = f"closed the connection: {source or type(source).__name__}"
    else:
        message = f"sent a reply that is not Qdrant's: {source}"
    retryable = isinstance(source, httpx.TransportError)
    return ProviderError(f"{where} {message}", provider=PROVIDER, retryable=retryable)


def _grpc_error(error: AioRpcError, where: str) -> ProviderError:
    code = error.code()
    status = _HTTP_STATUS.get(code)
    if code is StatusCode.UNAVAILABLE:
        message = f"cannot be reached by gRPC ({error.details()}). {_START}, or set index.grpc_port"
    elif code is StatusCode.DEADLINE_EXCEEDED:
        message = _TOO_SLOW
    else:
        message = f"answered {code.name}: {error.details()}{_REMEDIES.get(status or 0, '')}"
    return ProviderError(
        f"{where} {message}",
        provider=PROVIDER,
        status=status,
        retryable=status is not None and status >= 500,
    )


_START = "Fix: docker compose up -d qdrant"
_TOO_SLOW = "did not answer in time. Fix: try again, or raise index.timeout_s."
_HTTP_STATUS: Mapping[StatusCode, int] = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
"""The statuses that the same refusals have over HTTP."""
_REMEDIES: Mapping[int, str] = {
    401: ". Fix: set its key, RAGKIT_INDEX__API_KEY",
    403: ". Fix: set a key with this right, RAGKIT_INDEX__API_KEY",
    404: ". Fix: ragkit ingest PATH --index URL",
}


_UNKNOWN_PATH = frozenset({404, 405, 501})


def _is_qdrants(error: UnexpectedResponse) -> bool:
    try:
        return "status" in error.structured()
    except (ValueError, TypeError):
        return False


def _reason(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.content.decode(errors="replace")[:_SHOWN] or error.reason_phrase
