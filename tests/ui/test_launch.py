import socket

import pytest
from starlette.types import Message, Receive, Scope, Send

from ragkit.core.errors import ConfigError
from ragkit.core.settings import IngestSettings, Settings
from ragkit.ui.launch import check_port, streamlit_config
from ragkit.ui.options import Options
from ragkit.ui.owner_cookie import OWNER_COOKIE, OwnerCookie, new_owner, owner_of


def test_streamlit_sends_nothing_and_uploads_are_bounded() -> None:
    settings = Settings(ingest=IngestSettings(max_file_mb=12))
    config = streamlit_config(Options(), settings)
    assert config["browser.gatherUsageStats"] is False
    assert config["server.address"] == "127.0.0.1"
    assert config["server.maxUploadSize"] == 12
    assert config["client.showErrorDetails"] == "none"


def test_every_option_is_one_of_streamlit() -> None:
    from streamlit import config

    for name in streamlit_config(Options(), Settings()):
        config.get_option(name)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="Fix: stop what listens there"):
            check_port(Options(port=port))


async def _page(cookie: str | None, content: str = "text/html") -> list[bytes]:
    """Return the cookies that are set on a page that is asked for with this one."""
    headers = [] if cookie is None else [(b"cookie", cookie.encode())]
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "headers": [(b"content-type", content.encode())]}
        await send(start)

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    await OwnerCookie(app)({"type": "http", "headers": headers}, receive, send)
    return [value for name, value in sent[0]["headers"] if name == b"set-cookie"]


async def test_a_browser_gets_a_secret_name_once() -> None:
    (cookie,) = await _page(None)
    text = cookie.decode()
    assert text.startswith(f"{OWNER_COOKIE}=")
    assert "HttpOnly" in text
    assert "SameSite=Lax" in text
    assert await _page(text.partition(";")[0]) == []
    assert await _page(f"{OWNER_COOKIE}=short") != []
    assert await _page(None, "application/json") == []


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "a,b=c", "=", "a b", 'q="x', "ä=ö"])
async def test_a_cookie_of_another_application_hides_nothing(other: str) -> None:
    own = f"{OWNER_COOKIE}={new_owner()}"
    assert await _page(f"{other}; {own}") == []
    assert await _page(f"{own}; {other}") == []
    assert await _page(other) != []


def test_names_cannot_be_guessed() -> None:
    assert len({new_owner() for _ in range(100)}) == 100
    assert owner_of({OWNER_COOKIE: new_owner()})
    assert owner_of({}) is None
