import httpx
import pytest

from ragkit.core.errors import ContextExceeded, Failure, InputError, ProviderError
from ragkit.llm.openai.errors import (
    Endpoint,
    failed_inside,
    refusal,
    retry_after,
    status_error,
    transport_failure,
)
from ragkit.llm.openai.wire import ErrorBody

URL = Endpoint(url="http://models:8000", provider="vllm")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (None, None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, InputError, None),
        (401, ProviderError, False),
        (404, ProviderError, False),
        (408, ProviderError, True),
        (429, ProviderError, True),
        (502, ProviderError, True),
    ],
)
def test_statuses_say_whether_to_try_again(
    status: int, kind: type[Exception], *, retryable: bool | None
) -> None:
    error = status_error(status, "said", URL)
    assert isinstance(error, kind)
    assert getattr(error, "retryable", None) is retryable


@pytest.mark.parametrize(
    ("error", "failure", "message"),
    [
        (httpx.ConnectError("no route"), "refused", "Fix: start the server"),
        (httpx.ConnectTimeout(""), "timeout", "too long to connect.*Fix: raise timeout_s"),
        (httpx.ReadTimeout(""), "timeout", "too slow.*Fix: raise timeout_s"),
        (
            httpx.RemoteProtocolError("gone"),
            "broken_stream",
            r"dropped the connection \(gone\)\. Fix: read the server's log",
        ),
    ],
)
def test_every_failure_of_the_transport_is_named_and_retryable(
    error: httpx.HTTPError, failure: Failure, message: str
) -> None:
    translated = transport_failure(error, URL)
    assert (translated.failure, translated.retryable) == (failure, True)
    with pytest.raises(ProviderError, match=message):
        raise translated


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens.",
        "max_model_len exceeded",
        "The prompt is too long",
    ],
)
def test_a_prompt_beyond_the_context_is_told_apart(said: str) -> None:
    assert isinstance(status_error(400, said, URL), ContextExceeded)
    assert not isinstance(status_error(400, "bad grammar", URL), ContextExceeded)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"error": {"message": "nested"}}', "nested"),
        ('{"error": "flat"}', "flat"),
        ('{"message": "plain"}', "plain"),
        ('{"detail": "of FastAPI"}', "of FastAPI"),
        ("<html>a page</html>", "a page"),
        ("{}", "no reason given"),
        ('{"error": {"code": "rate_limit", "message": null}}', "rate_limit"),
    ],
)
def test_the_message_of_a_refusal_is_found_in_every_form(body: str, shown: str) -> None:
    response = httpx.Response(503, text=body, headers={"retry-after": "7"})
    error = refusal(response, URL)
    assert shown in str(error)
    assert isinstance(error, ProviderError)
    assert (error.status, error.retry_after_s, error.failure) == (503, 7.0, "overloaded")


def test_a_long_page_is_cut() -> None:
    assert len(str(refusal(httpx.Response(500, text="x" * 9999), URL))) < 700


@pytest.mark.parametrize(("code", "status"), [(429, 429), ("503", 503), ("oops", 500), (None, 500)])
def test_an_error_inside_a_stream_has_the_status_that_it_names(
    code: int | str | None, status: int
) -> None:
    error = failed_inside(ErrorBody(message="broke", code=code), URL)
    assert isinstance(error, ProviderError)
    assert error.status == status
