"""A polite client of one site: robots.txt, pauses, further tries, and redirects within the site."""

import contextlib
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.robotparser import RobotFileParser

import httpx

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.http_errors import status_failure
from ragkit.core.settings import WebSettings
from ragkit.ingest.sources.web.connection import AGENT, WebConnection
from ragkit.ingest.sources.web.content import WebContent, WebReply, conditions, content_of
from ragkit.ingest.sources.web.site import Site

FIRST_PAUSE_S = 1.0
"""Before a request is made again; twice as long before the next."""
_LONGEST_PAUSE_S = 30.0
_TRIES = 3
_MAX_REDIRECTS = 5
_MAX_FAILURES = 5
_LARGEST_ROBOTS = 2**20
_MOVED = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({429, 500, 502, 503, 504})


class WebClient:
    """A client of one site, for one request at a time.

    What may come later is asked for again; after some failures in a row nothing more is asked.
    """

    def __init__(self, site: Site, settings: WebSettings, *, max_bytes: int) -> None:
        """Prepare a client; nothing is asked yet."""
        self._site = site
        self._settings = settings
        self._max_bytes = max_bytes
        self._connection = WebConnection(site, settings)
        self._lock = threading.Lock()
        self._robots: RobotFileParser | None = None
        self._delay_s = settings.delay_s
        self._next = 0.0
        self._failures = 0

    def fetch(self, url: str) -> WebContent:
        """Return the content of a URL.

        Raises:
            InputError: It is not there, leads elsewhere or is too large, robots.txt forbids it, or
                the host is unknown or not public.
            ProviderError: The site does not answer, or with an error.
        """
        return content_of(self._found(url, {}))

    def fetch_if_changed(self, url: str, stamp: str) -> WebContent | None:
        """Return the content of a URL, None where it is still that of a stamp; see `fetch`."""
        reply = self._found(url, conditions(stamp))
        return None if reply.status == HTTPStatus.NOT_MODIFIED else content_of(reply)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def _found(self, url: str, headers: Mapping[str, str]) -> WebReply:
        with self._lock:
            self._check_robots(url)
            reply = self._followed(url, headers, max_bytes=self._max_bytes)
        is_same = reply.status == HTTPStatus.NOT_MODIFIED and headers
        if reply.status == HTTPStatus.OK or is_same:
            return reply
        raise _refused(reply)

    def _check_robots(self, url: str) -> None:
        if not self._settings.robots:
            return
        if self._robots is None:
            self._robots = self._read_robots()
            asked = self._robots.crawl_delay(AGENT) or 0
            self._delay_s = max(self._delay_s, min(float(asked), _LONGEST_PAUSE_S))
        if not self._robots.can_fetch(AGENT, url):
            raise InputError(
                f"robots.txt of {self._site.host!r} forbids {url!r}. Fix: leave it out, or set "
                "ingest.web.robots = false if the site is yours."
            )

    def _read_robots(self) -> RobotFileParser:
        """Return the rules of robots.txt, none where there is no such file (RFC 9309, 2.3.1)."""
        lines: list[str] = []
        with contextlib.suppress(_LeadsElsewhere):
            reply = self._followed(self._site.robots, {}, max_bytes=_LARGEST_ROBOTS)
            if reply.status in _LATER or reply.status >= 500:
                raise _refused(reply)
            if reply.status == HTTPStatus.OK:
                lines = reply.body.decode("utf-8", "replace").splitlines()
        rules = RobotFileParser()
        rules.parse(lines)
        return rules

    def _followed(self, url: str, headers: Mapping[str, str], *, max_bytes: int) -> WebReply:
        place = url
        for _ in range(_MAX_REDIRECTS + 1):
            reply = self._answered(place, headers, max_bytes=max_bytes)
            location = reply.headers.get("location")
            if reply.status not in _MOVED or not location:
                return reply
            try:
                place = str(httpx.URL(place).join(location))
            except (httpx.InvalidURL, ValueError) as error:
                raise InputError(f"{url!r} leads to no URL. Fix: leave it out.") from error
            if not self._site.covers(place):
                raise _LeadsElsewhere(
                    f"{url!r} leads to {place!r:.300}, which is another site. Fix: ingest that."
                )
        raise InputError(f"{url!r} leads on more than {_MAX_REDIRECTS} times. Fix: leave it out.")

    def _answered(self, url: str, headers: Mapping[str, str], *, max_bytes: int) -> WebReply:
        """Return the response to a request, made again where that may help."""
        if self._failures >= _MAX_FAILURES:
            raise ProviderError(
                f"{self._site.host!r} failed {_MAX_FAILURES} times in a row, so {url!r} was not "
                "asked for. Fix: run the ingestion again later.",
                provider="web",
            )
        for tried in range(1, _TRIES + 1):
            pause = FIRST_PAUSE_S * 2 ** (tried - 1)
            self._wait()
            try:
                reply = self._connection.get(url, headers, max_bytes=max_bytes)
            except ProviderError as error:
                if tried == _TRIES or not error.retryable:
                    self._failures += 1
                    raise
            else:
                if reply.status not in _LATER or tried == _TRIES:
                    self._failures = self._failures + 1 if reply.status in _LATER else 0
                    return reply
                said = reply.headers.get("retry-after", "")
                pause = float(said) if said.isdecimal() else pause
            time.sleep(min(pause, _LONGEST_PAUSE_S))
        raise AssertionError("the last try returns or raises")

    def _wait(self) -> None:
        """Let the delay pass since the last request."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._delay_s


class _LeadsElsewhere(InputError):
    """A redirect to another site."""


def _refused(reply: WebReply) -> Exception:
    status = reply.status
    phrase = httpx.codes.get_reason_phrase(status)
    said = f"{reply.url!r} answers {status} {phrase}".rstrip()
    if status in _LATER or status >= 500:
        return ProviderError(
            f"{said}. Fix: run the ingestion again later.",
            provider="web",
            status=status,
            retryable=True,
            failure=status_failure(status),
        )
    if status in {401, 403}:
        return InputError(f"{said}. Fix: write user and password in the URL, or leave it out.")
    return InputError(
        f"{said}. Fix: check the URL, or leave it out; ragkit delete removes what is stored of it."
    )
