"""A middleware that gives each browser a secret name, by which its conversations are kept."""

import secrets
from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWNER_COOKIE = "ragkit_owner"
_YEAR_S = 365 * 24 * 3600
_BYTES = 24
_LEAST_CHARS = 16


class OwnerCookie:
    """Sets the cookie on pages that are asked for without one."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, with the cookie where it lacks one."""
        if scope["type"] != "http" or owner_of(HTTPConnection(scope).cookies) is not None:
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                header = (b"set-cookie", cookie_header(new_owner()))
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        await self._app(scope, receive, with_cookie)


def owner_of(cookies: Mapping[str, str]) -> str | None:
    """Return the owner's name of these cookies; None where it is missing or too short to be one."""
    name = cookies.get(OWNER_COOKIE, "")
    return name if len(name) >= _LEAST_CHARS else None


def new_owner() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def cookie_header(owner: str) -> bytes:
    """Return the header that keeps an owner's name in a browser for a year."""
    value = f"{OWNER_COOKIE}={owner}; Path=/; Max-Age={_YEAR_S}; HttpOnly; SameSite=Lax"
    return value.encode()


def _is_page(message: Message) -> bool:
    headers = {name.lower(): value for name, value in message.get("headers", ())}
    kind: bytes = headers.get(b"content-type", b"")
    return kind.startswith(b"text/html")
