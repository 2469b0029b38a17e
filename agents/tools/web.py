"""`http_get`: pages of hosts that are allowed by name; private addresses are refused."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import httpx
from pydantic import Field
from selectolax.lexbor import LexborHTMLParser

from ragkit.agents.tools.function import tool
from ragkit.agents.tools.function.runner import tool_result
from ragkit.core.addresses import is_public
from ragkit.core.errors import InputError, ProviderError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import ToolResult

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""A resolver: returns the IP addresses of a host and port."""

_MAX_CHARACTERS = 1000
_PORTS = {"http": 80, "https": 443}
_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE = frozenset({429, 502, 503, 504})
_TYPES = ("text/", "application/json", "application/xml", "application/xhtml+xml")
_HEADERS = {
    "accept": "text/html, text/plain, application/json;q=0.9, application/xml;q=0.8",
    "accept-encoding": "identity",  # a small compressed body could become a huge one
    "user-agent": "ragkit",
}


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostPattern:
    """A host, or with `*.` in front all hosts below it; without a port, the scheme's own."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "_HostPattern":
        """Read `example.org`, `example.org:8443` or `*.example.org`."""
        name, _, port = text.lower().rstrip(".").partition(":")
        star = "*." if name.startswith("*.") else ""
        url = None if "/" in text or "@" in text else httpx.URL(f"http://{name.removeprefix('*.')}")
        if url is None or not url.host or "*" in url.host or not (port or "0").isdigit():
            raise InputError(f"{text!r} is not a host name. Fix: write for example 'example.org'.")
        return cls(name=f"{star}{url.raw_host.decode('ascii')}", port=int(port) if port else None)

    def matches(self, host: str, port: int, *, default: int) -> bool:
        """Return True for an allowed host and port."""
        if port != (self.port or default):
            return False
        starred = self.name.startswith("*.")
        return host.endswith(self.name[1:]) if starred else host == self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _WebPage:
    """A page as it was read."""

    url: str
    content_type: str
    text: str
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetcher:
    """Fetches pages of the allowed hosts."""

    hosts: tuple["_HostPattern", ...]
    private: bool
    max_bytes: int
    max_redirects: int
    timeout_s: float
    resolve: Resolve
    verify: ssl.SSLContext | bool

    async def get(self, url: str) -> _WebPage:
        """Follow redirects to a page and check each address on the way."""
        # Proxies of the environment would resolve names themselves and bypass the checks.
        async with httpx.AsyncClient(
            trust_env=False, timeout=self.timeout_s, verify=self.verify
        ) as client:
            for _ in range(self.max_redirects + 1):
                checked = self._checked(url)
                found = await self._page(client, checked)
                if isinstance(found, _WebPage):
                    return found
                url = str(checked.join(found))
        raise ToolError(f"More than {self.max_redirects} redirects, the last to {url!r:.200}.")

    def _checked(self, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise ToolError(f"{url!r:.200} is not a URL: {error}") from error
        if parsed.scheme not in _PORTS or not parsed.host:
            raise ToolError(f"{url!r:.200} is not an http or https URL.")
        if parsed.userinfo:
            raise ToolError("URLs with a user name or password are not allowed.")
        host = parsed.raw_host.decode("ascii").rstrip(".").lower()
        default = _PORTS[parsed.scheme]
        port = parsed.port or default
        if not any(pattern.matches(host, port, default=default) for pattern in self.hosts):
            allowed = ", ".join(pattern.name for pattern in self.hosts)
            raise ToolError(f"The host {host!r} (port {port}) is not allowed; allowed: {allowed}.")
        return parsed

    async def _page(self, client: httpx.AsyncClient, url: httpx.URL) -> _WebPage | str:
        try:
            response = await self._sent(client, url)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    return str(response.headers["location"])
                return await self._read(response, url)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise ProviderError(
                f"{url.host!r} cannot be read: {type(error).__name__} {error}".rstrip(),
                provider="http",
                retryable=isinstance(error, httpx.TransportError),
            ) from error

    async def _sent(self, client: httpx.AsyncClient, url: httpx.URL) -> httpx.Response:
        # The connection goes to an address that was checked: a second look-up of the name could
        # give another one. The certificate is still checked against the name.
        *first, last = await self._addresses(url)
        for address in first:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await client.send(_request(client, url, address), stream=True)
        return await client.send(_request(client, url, last), stream=True)

    async def _addresses(self, url: httpx.URL) -> list[str]:
        port = url.port or _PORTS[url.scheme]
        try:
            addresses = await self.resolve(url.raw_host.decode("ascii"), port)
        except (OSError, UnicodeError) as error:
            raise ToolError(f"The host {url.host!r} cannot be found: {error}") from error
        if not addresses or not (self.private or all(map(is_public, addresses))):
            raise ToolError(f"The host {url.host!r} is not on the public internet.")
        return addresses

    async def _read(self, response: httpx.Response, url: httpx.URL) -> _WebPage:
        _check_status(response, url)
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not content_type.startswith(_TYPES) and not content_type.endswith(("+json", "+xml")):
            raise ToolError(f"{str(url)!r:.200} has the unsupported type {content_type!r}.")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise ToolError(f"{str(url)!r:.200} is compressed, which is not supported.")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self.max_bytes:
                break
        text = _decoded(bytes(body[: self.max_bytes]), response.charset_encoding)
        return _WebPage(
            url=str(url),
            content_type=content_type,
            text=_visible(text) if "html" in content_type else text,
            complete=len(body) <= self.max_bytes,
        )


def http_get(  # noqa: PLR0913  # each option is a bound of its own
    hosts: Collection[str],
    *,
    private: bool = False,
    max_bytes: int = 1_000_000,
    max_redirects: int = 5,
    timeout_s: float = 15.0,
    max_chars: int = 8000,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
) -> Tool:
    """Make a tool that fetches pages.

    Args:
        hosts: The hosts that may be fetched from: `"example.org"`, `"example.org:8443"` for a
            port other than the scheme's own, `"*.example.org"` for all below it.
        private: Allow hosts of a private network. Otherwise a host is refused if any of its
            addresses is not public, at first and after each redirect.
        max_bytes: Maximum bytes that are read of a page.
        max_redirects: Maximum redirects, within the allowed hosts.
        timeout_s: Maximum seconds of a call.
        max_chars: Maximum length of the text that the model is shown.
        resolve: Resolver of host names; the system's by default.
        tls: Trusted certificates; by default those of the public authorities.

    Raises:
        InputError: No host is given, or one is not a host name.
    """
    fetcher = _Fetcher(
        hosts=tuple(map(_HostPattern.parse, hosts)),
        private=private,
        max_bytes=max_bytes,
        max_redirects=max_redirects,
        timeout_s=timeout_s,
        resolve=resolve,
        verify=tls or True,
    )
    if not fetcher.hosts:
        raise InputError("http_get has no hosts. Fix: name the hosts that may be fetched.")

    @tool(
        description=f"{_DESCRIPTION} From these hosts only: {', '.join(hosts)}.",
        timeout_s=timeout_s,
        retries=1,
        max_chars=max_chars,
    )
    async def http_get(
        url: Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)],
    ) -> ToolResult:
        """Fetch a page.

        Args:
            url: The whole address, with https://
        """
        page = await fetcher.get(url)
        note = "" if page.complete else f"\n[cut: only the first {max_bytes:,} bytes were read]"
        return tool_result(page, max_chars=max_chars, text=f"{page.text}{note}")

    return http_get


_DESCRIPTION = (
    "Fetch a page over HTTP as text. Returns an object with url (after redirects), content_type, "
    "text and complete."
)


def _request(client: httpx.AsyncClient, url: httpx.URL, address: str) -> httpx.Request:
    pinned = url.copy_with(host=address.partition("%")[0])
    headers = {**_HEADERS, "host": url.netloc.decode("ascii")}
    extensions = {"sni_hostname": url.raw_host.decode("ascii")}
    return client.build_request("GET", pinned, headers=headers, extensions=extensions)


def _check_status(response: httpx.Response, url: httpx.URL) -> None:
    status = response.status_code
    message = f"{str(url)!r:.200} answers {status} {response.reason_phrase}".rstrip()
    if status in _RETRYABLE:
        raise ProviderError(message, provider="http", status=status, retryable=True)
    if status != _OK:
        raise ToolError(message)


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return body.decode(errors="replace")


def _visible(html: str) -> str:
    tree = LexborHTMLParser(html)
    tree.strip_tags(["script", "style", "noscript", "template", "svg"])
    text = tree.body.text(separator="\n") if tree.body else ""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
