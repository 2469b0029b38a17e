"""Secrets kept out of messages, logs and output."""

import base64
import json
import re
import traceback
from dataclasses import dataclass
from urllib.parse import quote, unquote

HIDDEN = "***"
_SHORTEST = 4
"""Characters from which on a value counts as a secret; a shorter one would hide plain words."""
_SHORTEST_IN_REPLIES = 8
"""The same in what a server was asked for. Keys such as `EMPTY` and `test` are common on local
servers, and to hide them there would change the words of answers and passages."""
_CREDENTIALS = re.compile(
    r"""(?<=://)(?:
        [^\s/?#'"]+                         # a user, or a user and a password
        | [^\s/?#'":@[]+:(?!\d{1,5}\b)[^\s'"]+  # with / ? # in the password, which is not a port
    )@""",
    re.VERBOSE,
)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")


def without_credentials(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it."""
    return _CREDENTIALS.sub(f"{HIDDEN}@", text) if "@" in text else text


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values that nobody may see, as they are sent to a server that may repeat them."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, *secrets: str | None) -> "Secrets":
        """Return the secrets that are set, in every form in which a text may hold them."""
        forms = (form for secret in secrets if secret for form in _forms(secret))
        return cls(tuple(sorted(set(forms), key=len, reverse=True)))

    def in_replies(self) -> "Secrets":
        """Return those that are hidden in replies too: not the short ones, which may be words."""
        return Secrets(tuple(one for one in self.values if len(one) >= _SHORTEST_IN_REPLIES))

    def hidden(self, text: str) -> str:
        """Return a text without them."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text

    def hidden_bytes(self, content: bytes) -> bytes:
        """Return what a server sent without them."""
        for value in self.values:
            content = content.replace(value.encode(), HIDDEN.encode())
        return content

    def cause(self, error: BaseException) -> BaseException | None:
        """Return an error, or None where it would show one of them, to raise another from."""
        shown = "".join(traceback.format_exception(error))
        return None if any(value in shown for value in self.values) else error


NO_SECRETS = Secrets()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """The URL of a server, apart from the user and password that it was written with.

    Attributes:
        url: Without them.
        authorization: The header that sends them (RFC 7617), or None.
        secrets: Those of the URL, and others that are sent to the server.
    """

    url: str
    authorization: str | None
    secrets: Secrets

    @classmethod
    def parse(cls, url: str, *secrets: str | None) -> "ServerAddress":
        """Read a URL; `secrets` are others that are sent to the server.

        Raises:
            ConfigError: The port is no number, as where a password has a `/`, `?` or `#`.
        """
        scheme, mark, rest = url.partition("://")
        place = re.match(r"[^/?#]*", rest)
        login, at, host = (place.group() if place else "").rpartition("@")
        if not _HOST.fullmatch(host):
            from ragkit.core.errors import ConfigError  # which imports this module

            raise ConfigError(
                f"The URL {scheme}{mark}{HIDDEN} of a server has a port that is no number. Fix: "
                "correct it, or write / ? # in its password as %2F %3F %23."
            )
        if not at:
            return cls(url=url, authorization=None, secrets=Secrets.of(*secrets))
        user, _, password = login.partition(":")
        token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        return cls(
            url=f"{scheme}{mark}{rest[len(login) + 1 :]}",
            authorization=f"Basic {token}",
            secrets=Secrets.of(*secrets, password, unquote(password), token),
        )


def _forms(secret: str) -> list[str]:
    """Return a secret as it is, and as JSON, a URL and Python's repr write it."""
    if len(secret) < _SHORTEST:
        return []
    return [secret, json.dumps(secret)[1:-1], quote(secret, safe=""), repr(secret)[1:-1]]
