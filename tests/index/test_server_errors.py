"""Errors of a Qdrant server in ragkit's terms."""

import httpx
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ragkit.core.errors import ProviderError
from ragkit.index import server_errors

LOCATION = "http://qdrant:6333"


def refused(status: int, body: bytes) -> UnexpectedResponse:
    return UnexpectedResponse(status, "Reason", body, httpx.Headers())


def failed_call(code: StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details="what went wrong")


_BODY = b'{"status": {"error": "what went wrong"}, "time": 0.1}'


@pytest.mark.parametrize(
    ("error", "message", "status", "retryable"),
    [
        (refused(500, _BODY), "answered 500: what went wrong", 500, True),
        (refused(503, b"<html>"), "answered 503: <html>", 503, True),
        (refused(429, _BODY), "answered 429: what went wrong", 429, True),
        (refused(400, _BODY), "answered 400: what went wrong", 400, False),
        (refused(401, b""), "answered 401: Reason.*RAGKIT_INDEX__API_KEY", 401, False),
        (refused(403, _BODY), "answered 403: .*RAGKIT_INDEX__API_KEY", 403, False),
        (refused(404, _BODY), "answered 404: .*ragkit ingest", 404, False),
        (refused(404, b'{"error": {"code": 404}}'), "is no Qdrant server: .*Fix: give", 404, False),
        (refused(405, b"<html>"), "is no Qdrant server: .*ragkit serve", 405, False),
        (refused(400, b'["odd"]'), "answered 400", 400, False),
        (ResourceExhaustedResponse("slow down", 3), "is overloaded: slow down", 429, True),
        (
            ResponseHandlingException(httpx.ConnectError("refused")),
            r"cannot be reached \(refused\).*docker compose up -d qdrant",
            None,
            True,
        ),
        (
            ResponseHandlingException(httpx.ConnectTimeout("late")),
            "cannot be reached.*docker compose up -d qdrant",
            None,
            True,
        ),
        (
            ResponseHandlingException(httpx.ReadTimeout("late")),
            "did not answer in time.*index.timeout_s",
            None,
            True,
        ),
        (
            ResponseHandlingException(httpx.RemoteProtocolError("cut")),
            "closed the connection: cut",
            None,
            True,
        ),
        (
            ResponseHandlingException(ValueError("no JSON")),
            "sent a reply that is not Qdrant's: no JSON",
            None,
            False,
        ),
        (
            failed_call(StatusCode.UNAVAILABLE),
            r"cannot be reached by gRPC \(what went wrong\).*index\.grpc_port",
            503,
            True,
        ),
        (
            failed_call(StatusCode.DEADLINE_EXCEEDED),
            r"did not answer in time.*index\.timeout_s",
            504,
            True,
        ),
        (
            failed_call(StatusCode.UNAUTHENTICATED),
            "answered UNAUTHENTICATED: what went wrong.*RAGKIT_INDEX__API_KEY",
            401,
            False,
        ),
        (failed_call(StatusCode.ALREADY_EXISTS), "answered ALREADY_EXISTS: what", 409, False),
        (failed_call(StatusCode.INTERNAL), "answered INTERNAL: what went wrong", 500, True),
    ],
    ids=repr,
)
def test_an_error_says_what_happened_and_what_to_do(
    error: Exception, message: str, status: int | None, retryable: bool
) -> None:
    made = server_errors.provider_error(error, LOCATION)
    assert made.provider == "qdrant"
    assert (made.status, made.retryable) == (status, retryable)
    with pytest.raises(ProviderError, match=rf"'{LOCATION}' {message}"):
        raise made


def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"version 1\.19\.3.*needs 1\.20 or newer"):
        server_errors.check_version("1.19.3", LOCATION)
    for version in ("1.20.0", "1.21.0-dev", "2.0.0", "dev", ""):
        server_errors.check_version(version, LOCATION)
