"""Translation of a server's failures and refusals into ragkit's errors."""

import contextlib
import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from pydantic import ValidationError

from ragkit.core.errors import ContextExceeded, InputError, ProviderError, RagkitError
from ragkit.core.http_errors import status_failure, transport_error
from ragkit.core.secrets import NO_SECRETS, Secrets
from ragkit.llm.openai.wire import ErrorBody, FailedBody

_TOO_LONG = re.compile(
    r"context (length|size|window)|max_model_len|maximum (model|input) length|too (long|large)"
)
_UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
_ERROR_STATUSES = frozenset(str(status) for status in range(400, 600))
_REMEDIES = {
    401: "Fix: set api_key to the server's key.",
    403: "Fix: set api_key to the server's key.",
    404: "Fix: check the base URL and the model's name.",
}
_ASK_AGAIN = " Fix: read the server's log for the reason, and ask again."
_START = "start the server, or correct the base URL"
_WAIT_LONGER = "raise timeout_s, or send the server fewer requests at the same time"
_SHOWN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that errors name.

    Attributes:
        url: Its address, without `/v1`.
        provider: Its kind, such as `"vllm"`.
    """

    url: str
    provider: str


class UnsupportedFieldError(InputError):
    """The model takes no such field, or not this value of it."""

    def __init__(self, message: str, *, field: str) -> None:
        """Keep the name of the field."""
        super().__init__(message)
        self.field = field


def transport_failure(error: httpx.HTTPError | httpx.StreamError, at: Endpoint) -> ProviderError:
    """Return the error for a call that got no response, or only a part of one."""
    return transport_error(error, url=at.url, provider=at.provider, start=_START, wait=_WAIT_LONGER)


def too_slow(at: Endpoint, seconds: float, *, stalled: bool) -> ProviderError:
    """Return the error for a call that passed a time limit."""
    what = "sent nothing for" if stalled else "took longer than"
    return ProviderError(
        f"{at.url} {what} {seconds:g} s. Fix: {_WAIT_LONGER}.",
        provider=at.provider,
        retryable=True,
        failure="timeout",
    )


def broken(at: Endpoint, reason: str) -> ProviderError:
    """Return the error for a response that cannot be read."""
    return ProviderError(
        f"The response of {at.url} is broken: {reason}.{_ASK_AGAIN}",
        provider=at.provider,
        retryable=True,
        failure="broken_stream",
    )


def failed_inside(error: ErrorBody, at: Endpoint) -> RagkitError:
    """Return the error that a server reports in the middle of its stream."""
    code = str(error.code)
    status = int(code) if code.isdigit() else 500
    return status_error(status, error.message or "", at)


def unstreamed(
    response: httpx.Response, at: Endpoint, *, secrets: Secrets = NO_SECRETS
) -> RagkitError:
    """Return the error for a response that is no stream; one of JSON has been read.

    Some servers report an error with status 200, and its own status as the error's code.
    """
    kind = response.headers.get("content-type", "")
    reason = secrets.hidden(f"its content type is {kind!r}, not text/event-stream")
    body = _failed_body(response, secrets) if response.is_closed else None
    if body is None or not (said := body.text()):
        return broken(at, reason)
    code = str(body.error.code) if isinstance(body.error, ErrorBody) else ""
    if code in _ERROR_STATUSES:
        return status_error(int(code), said[:_SHOWN], at)
    return broken(at, f"{reason}, and it says {said[:_SHOWN]!r}")


def refusal(
    response: httpx.Response, at: Endpoint, *, secrets: Secrets = NO_SECRETS
) -> RagkitError:
    """Return the error for a status of 400 or above; the response has been read.

    Secrets that the server repeats are hidden.
    """
    said, error = secrets.hidden(response.text), None
    if (body := _failed_body(response, secrets)) is not None:
        said, error = body.text() or (said if body.error else ""), body.error
    if isinstance(error, ErrorBody) and error.code in _UNSUPPORTED and error.param:
        return UnsupportedFieldError(
            f"{at.url} rejected the request: {said[:_SHOWN]}", field=error.param
        )
    wait = retry_after(response.headers.get("retry-after"))
    return status_error(response.status_code, said[:_SHOWN], at, wait=wait)


def _failed_body(response: httpx.Response, secrets: Secrets) -> FailedBody | None:
    with contextlib.suppress(ValidationError):
        return FailedBody.model_validate_json(secrets.hidden_bytes(response.content))
    return None


def status_error(status: int, said: str, at: Endpoint, *, wait: float | None = None) -> RagkitError:
    """Return the error for a status and the server's message."""
    if status in {400, 413, 422} and _TOO_LONG.search(said) and "rammar" not in said:
        return ContextExceeded(f"Prompt and reply do not fit the model's context: {said}")
    if status in {400, 422}:
        return InputError(f"{at.url} rejected the request: {said}")
    remedy = _REMEDIES.get(status, "")
    return ProviderError(
        f"{at.url} answered with status {status}: {said or 'no reason given'}. {remedy}".rstrip(),
        provider=at.provider,
        status=status,
        retryable=status in {408, 409, 429} or status >= 500,
        failure=status_failure(status),
        retry_after_s=wait,
    )


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:  # without a zone, or with -0000, it is UTC (RFC 5322, 3.3)
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
