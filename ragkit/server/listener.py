"""Listening for HTTP: uvicorn, with streams that end before it waits for them."""

import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ragkit.core.errors import InputError
from ragkit.server.state import ServerState

GRACE_SECONDS = 30
"""Seconds that requests have to end once the server was asked to stop."""


class Listener(uvicorn.Server):
    """A server whose streams end with an error event when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        """Serve by this configuration, and mark this state as closing at the end."""
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._state.closing.set()
        super().handle_exit(sig, frame)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 is any free one.

    Its connections send at once: with Nagle's algorithm (RFC 896), a response in two parts waits
    for the client's delayed acknowledgement, 40 ms. asyncio turns it off only for its own sockets.

    Raises:
        InputError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"Cannot listen on {host!r}, port {port}: {error}. "
            "Fix: choose another --port or --host."
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def listen(app: FastAPI, listening: socket.socket) -> None:
    """Serve an application on a socket until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,  # its warnings go where the log of ragkit goes
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    Listener(config, app.state.ragkit).run(sockets=[listening])
