"""Errors of httpx and statuses of HTTP in ragkit's terms, for every client of a server."""

import contextlib

import httpx

from ragkit.core.errors import Failure, ProviderError

_PORTS = range(1, 65_536)


def is_server_url(url: str) -> bool:
    """Return whether a text is the URL of a server, by http or https."""
    with contextlib.suppress(httpx.InvalidURL):
        found = httpx.URL(url)
        port = found.port is None or found.port in _PORTS
        return found.scheme in {"http", "https"} and bool(found.host) and port
    return False


def transport_error(
    error: httpx.HTTPError | httpx.StreamError, *, url: str, provider: str, start: str, wait: str
) -> ProviderError:
    """Return the error for a request that got no response, or only a part of one.

    Args:
        error: The error of httpx.
        url: The server's URL.
        provider: The kind of server.
        start: The remedy where nothing listens at the URL.
        wait: The remedy where the server takes too long.
    """
    failure: Failure = "broken_stream"
    said = f"{url} dropped the connection"
    fix = "read the server's log for the reason, and ask again"
    if isinstance(error, httpx.ConnectTimeout):
        failure, said, fix = "timeout", f"{url} took too long to connect", wait
    elif isinstance(error, httpx.ConnectError):
        failure, said, fix = "refused", f"No server answers at {url}", start
    elif isinstance(error, httpx.TimeoutException):
        failure, said, fix = "timeout", f"{url} was too slow", wait
    reason = str(error) or type(error).__name__
    return ProviderError(
        f"{said} ({reason}). Fix: {fix}.", provider=provider, retryable=True, failure=failure
    )


def status_failure(status: int) -> Failure:
    """Return the kind of failure that a status of 400 or above reports."""
    if status in {429, 503}:
        return "overloaded"
    return "failed" if status >= 500 else "rejected"
