"""A site that may be asked: its origin, and the addresses that were found for it once."""

import ipaddress
import socket
from dataclasses import dataclass, field

import httpx

from ragkit.core.addresses import is_public
from ragkit.core.errors import InputError, RagkitError
from ragkit.core.secrets import ServerAddress

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Scheme, host and port of a URL that was given (RFC 6454).

    Attributes:
        scheme: `http` or `https`.
        host: In ASCII.
        port: The scheme's own if the URL has none.
        authorization: The header of the user and password in the URL.
    """

    scheme: str
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, url: str) -> "Site":
        """Return the site of a URL.

        Raises:
            InputError: It is no http or https URL.
        """
        parsed = parsed_url(url)
        return cls(
            scheme=parsed.scheme,
            host=parsed.raw_host.decode("ascii").lower(),
            port=parsed.port or _PORTS[parsed.scheme],
            authorization=ServerAddress.parse(url).authorization,
        )

    def covers(self, url: str) -> bool:
        """Return whether a URL is of this site, or of the same host by TLS."""
        try:
            other = Site.of(url)
        except RagkitError:
            return False
        is_safer = (self.scheme, self.port, other.scheme, other.port) == ("http", 80, "https", 443)
        return other.host == self.host and (other == self or is_safer)

    @property
    def robots(self) -> str:
        """The URL of robots.txt (RFC 9309)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/robots.txt"

    def addresses(self, *, private: bool) -> list[str]:
        """Return the host's IP addresses, which all requests of a run are sent to.

        Args:
            private: Whether a name may stand for an address that is not public. An address in the
                URL itself, and `localhost`, always may.

        Raises:
            InputError: The host is unknown, or is not on the public internet.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise InputError(
                f"The host {self.host!r} cannot be found: {error}. Fix: check the URL."
            ) from error
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if private or self._names_its_address() or all(map(is_public, addresses)):
            return addresses
        raise InputError(
            f"{self.host!r} is not on the public internet ({addresses[0]}). Fix: if you trust that "
            "name, set ingest.web.private = true."
        )

    def _names_its_address(self) -> bool:
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


def parsed_url(url: str) -> httpx.URL:
    """Return an http or https URL.

    Raises:
        InputError: It is none.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"{url!r:.200} is no URL: {error}. Fix: correct it.") from error
    if parsed.scheme not in _PORTS or not parsed.host:
        raise InputError(f"{url!r:.200} is no http or https URL. Fix: correct it.")
    return parsed


def page_uri(url: str) -> str:
    """Return the URL of a page without user, password and fragment, as one page has it.

    Raises:
        InputError: It is no http or https URL.
    """
    parsed = parsed_url(url).copy_with(userinfo=b"", fragment=None)
    return str(parsed) if "/" in str(parsed).partition("://")[2] else f"{parsed}/"
