import httpx
import pytest

from ragkit.core.http_errors import is_server_url, status_failure, transport_error


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:8000/v1", "http://[::1]:80", "http://例え.jp"]
)
def test_the_url_of_a_server_is_known(url: str) -> None:
    assert is_server_url(url)


@pytest.mark.parametrize(
    "url", ["", "h:80", "/v1", "ftp://h", "http://", "http:///v1", "http://h:p", "http://h:0"]
)
def test_what_a_client_could_not_connect_to_is_no_url_of_a_server(url: str) -> None:
    assert not is_server_url(url)


def test_an_error_without_a_message_is_named_by_its_kind() -> None:
    error = transport_error(httpx.ReadTimeout(""), url="u", provider="p", start="s", wait="wait")
    assert str(error) == "u was too slow (ReadTimeout). Fix: wait."


def test_a_status_is_a_kind_of_failure() -> None:
    kinds = {status: status_failure(status) for status in (401, 404, 429, 500, 502, 503)}
    assert kinds == {401: "rejected", 404: "rejected", 429: "overloaded", 500: "failed",
                     502: "failed", 503: "overloaded"}  # fmt: skip
