import socket

import pytest

from ragkit.core.errors import InputError
from ragkit.server.listener import bound


def test_the_connections_of_a_server_send_at_once() -> None:
    with bound("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_cannot_be_used_is_one_sentence() -> None:
    with bound("127.0.0.1", 0) as taken:
        port = int(taken.getsockname()[1])
        for host in ("127.0.0.1", "256.1.1.1"):
            with pytest.raises(InputError, match=r"Cannot listen on .*Fix: choose another"):
                bound(host, port)
