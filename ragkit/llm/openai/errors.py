"""Translation of httpx's errors and a server's refusals into ragkit's errors."""

import email.utils
import re
from datetime import UTC, datetime

import httpx
from pydantic import ValidationError

from ragkit.core.errors import ContextExceeded, Failure, InputError, ProviderError, RagkitError
from ragkit.core.secrets import NO_SECRETS, Secrets
from ragkit.llm.openai.wire import ErrorBody, FailedBody

PROVIDER = "vllm"
_TOO_LONG = re.compile(
    r"context length|max_model_len|maximum (model|input) length|too (long|large)"
)
_REMEDIES = {
    401: "Fix: set api_key to the server's key.",
    403: "Fix: set api_key to the server's key.",
    404: "Fix: check the base URL and the model's name.",
}
_SHOWN = 500


def transport_failure(error: httpx.HTTPError | httpx.StreamError, url: str) -> ProviderError:
    """Return the error for a call that got no response, or only a part of one."""
    failure: Failure = "broken_stream"
    said = f"{url} dropped the connection"
    remedy = ""
    if isinstance(error, httpx.ConnectTimeout):
        failure, said = "timeout", f"{url} took too long to connect"
    elif isinstance(error, httpx.ConnectError):
        failure, said = "refused", f"No server answers at {url}"
        remedy = " Fix: start the server, or correct the base URL."
    elif isinstance(error, httpx.TimeoutException):
        failure, said = "timeout", f"{url} was too slow"
    reason = str(error) or type(error).__name__
    return ProviderError(
        f"{said} ({reason}).{remedy}", provider=PROVIDER, retryable=True, failure=failure
    )


def too_slow(url: str, seconds: float, *, stalled: bool) -> ProviderError:
    """Return the error for a call that passed a time limit."""
    what = "sent nothing for" if stalled else "took longer than"
    return ProviderError(
        f"{url} {what} {seconds:g} s.", provider=PROVIDER, retryable=True, failure="timeout"
    )


def broken(url: str, reason: str) -> ProviderError:
    """Return the error for a response that cannot be read."""
    return ProviderError(
        f"The response of {url} is broken: {reason}.",
        provider=PROVIDER,
        retryable=True,
        failure="broken_stream",
    )


def failed_inside(error: ErrorBody, url: str) -> RagkitError:
    """Return the error that a server reports in the middle of its stream."""
    code = str(error.code)
    status = int(code) if code.isdigit() else 500
    return status_error(status, error.message, url)


def refusal(response: httpx.Response, url: str, *, secrets: Secrets = NO_SECRETS) -> RagkitError:
    """Return the error for a status of 400 or above; the response has been read.

    Secrets that the server repeats are hidden.
    """
    content = secrets.hidden_bytes(response.content)
    try:
        said = FailedBody.model_validate_json(content).text()
    except ValidationError:
        said = secrets.hidden(response.text)
    wait = retry_after(response.headers.get("retry-after"))
    return status_error(response.status_code, said[:_SHOWN], url, wait=wait)


def status_error(status: int, said: str, url: str, *, wait: float | None = None) -> RagkitError:
    """Return the error for a status and the server's message."""
    if status in {400, 413, 422} and _TOO_LONG.search(said):
        return ContextExceeded(f"Prompt and reply do not fit the model's context: {said}")
    if status in {400, 422}:
        return InputError(f"{url} rejected the request: {said}")
    failure: Failure = "failed" if status >= 500 else "rejected"
    if status in {429, 503}:
        failure = "overloaded"
    remedy = _REMEDIES.get(status, "")
    return ProviderError(
        f"{url} answered with status {status}: {said or 'no reason given'}. {remedy}".rstrip(),
        provider=PROVIDER,
        status=status,
        retryable=status in {408, 409, 429} or status >= 500,
        failure=failure,
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
