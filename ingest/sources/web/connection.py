"""Requests to one site: to addresses that were looked up once, and bounded in bytes and time."""

import contextlib
import time
from collections.abc import Mapping
from http import HTTPStatus

import httpx

from ragkit.core.errors import ProviderError
from ragkit.core.http_errors import transport_error
from ragkit.core.settings import WebSettings
from ragkit.ingest.sources.web.content import WebReply, gunzipped, too_large
from ragkit.ingest.sources.web.site import Site, parsed_url

AGENT = "ragkit"
"""The name that robots.txt addresses."""
_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",  # a small compressed body could become a huge one
    "user-agent": AGENT,
}
_BODY_WAITS = 10
"""A whole response may take so many times as long as one wait for the site."""


class WebConnection:
    """A connection to one site.

    The host is looked up once, so that no later answer of a name server leads elsewhere; the
    certificate is checked against the name.
    """

    def __init__(self, site: Site, settings: WebSettings) -> None:
        """Prepare a connection; nothing is asked yet."""
        self._site = site
        self._settings = settings
        self._client: httpx.Client | None = None
        self._addresses: list[str] = []
        self._is_closed = False

    def get(self, url: str, headers: Mapping[str, str], *, max_bytes: int) -> WebReply:
        """Return the response to one request; its body is read if the status is 200.

        Raises:
            InputError: The host is unknown or not public, or the body has more bytes.
            ProviderError: The site does not answer, or too slowly.
        """
        if not self._addresses:
            self._addresses = self._site.addresses(private=self._settings.private)
        started = time.monotonic()
        try:
            response = self._sent(parsed_url(url), headers)
            try:
                body = b""
                if response.status_code == HTTPStatus.OK:
                    body = self._body(response, url, max_bytes, started)
            finally:
                response.close()
                if self._is_closed:
                    response.extensions["network_stream"].close()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise transport_error(
                error,
                url=url,
                provider="web",
                start="check the URL, and that the site is up",
                wait="run the ingestion again, or raise ingest.web.timeout_s",
            ) from error
        if response.headers.get("content-encoding", "").lower() in {"gzip", "x-gzip"}:
            body = gunzipped(body, url=url, max_bytes=max_bytes) if body else body
        return WebReply(url=url, status=response.status_code, headers=response.headers, body=body)

    def close(self) -> None:
        """Close what is open; a request that runs in another thread closes what it opens then."""
        self._is_closed = True
        if self._client is not None:
            self._client.close()

    def _sent(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        if self._client is None:
            # Proxies of the environment would look names up themselves.
            tls = httpx.create_ssl_context()
            self._client = httpx.Client(
                timeout=self._settings.timeout_s, trust_env=False, verify=tls
            )
        sent = {**_HEADERS, **headers, "host": url.netloc.decode("ascii")}
        if self._site.authorization is not None:
            sent["authorization"] = self._site.authorization
        names = {"sni_hostname": url.raw_host.decode("ascii")}
        requests = [
            self._client.build_request(
                "GET",
                url.copy_with(host=address.partition("%")[0], userinfo=b""),
                headers=sent,
                extensions=names,
            )
            for address in self._addresses
        ]
        for request in requests[:-1]:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return self._client.send(request, stream=True)
        return self._client.send(requests[-1], stream=True)

    def _body(self, response: httpx.Response, url: str, max_bytes: int, started: float) -> bytes:
        """Read a body, which a site may send without end, or a byte at a time."""
        body = bytearray()
        longest = _BODY_WAITS * self._settings.timeout_s
        for piece in response.iter_raw():
            body += piece
            if len(body) > max_bytes:
                raise too_large(url, max_bytes)
            if time.monotonic() - started > longest:
                raise ProviderError(
                    f"{url!r} took more than {longest:.0f} s. Fix: run the ingestion again, or "
                    "raise ingest.web.timeout_s.",
                    provider="web",
                    failure="timeout",
                )
        return bytes(body)
