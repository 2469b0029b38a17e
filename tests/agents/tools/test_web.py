import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ragkit.agents.tools import web
from ragkit.agents.tools.web import Resolve, http_get
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.tool_contract import ToolContract

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"


class Server:
    """Answers each path with bytes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, list[bytes]] = {}
        self.requests: list[str] = []
        self.port = 0
        self.linger_s = 0.0
        self.answering: set[asyncio.Task[object]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            replies = self.pages.get(request.split()[1], [b"HTTP/1.1 404 Not Found\r\n\r\n"])
            writer.write(replies[0] if len(replies) == 1 else replies.pop(0))
            await writer.drain()
            await asyncio.sleep(self.linger_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has read enough
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def redirect(self, path: str, to: str) -> None:
        self.pages[path] = [f"HTTP/1.1 302 Found\r\nlocation: {to}\r\n\r\n".encode()]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    """A server on the loopback address."""
    made = Server()
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as running:
        made.port = running.sockets[0].getsockname()[1]
        yield made
    await asyncio.gather(*made.answering)


def always(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


def local(server: Server, *, max_bytes: int = 1000, timeout_s: float = 5) -> Tool:
    return http_get(
        [f"site.test:{server.port}"],
        private=True,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        resolve=always("127.0.0.1"),
    )


async def get(tool: Tool, url: str) -> str:
    return (await tool.call({"url": url}, key="k")).text


class TestHttpGet(ToolContract):
    """Served by a thread's own loop, since the contract uses several."""

    @pytest.fixture(autouse=True)
    def _serve(self, file_server: str) -> None:
        self.url = file_server

    def make_tool(self) -> Tool:
        port = self.url.rpartition(":")[2].partition("/")[0]
        return http_get([f"127.0.0.1:{port}"], private=True)

    def arguments(self) -> Mapping[str, Json]:
        return {"url": self.url}


async def test_a_page_is_read_as_text(server: Server) -> None:
    server.pages["/a?b=c"] = [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html><head><title>T</title>"
        b"<style>p{}</style></head><body><h1>Rivers</h1><script>x()</script><p>The  Volga</p>"
        b"<!-- no --></body></html>"
    ]
    result = await local(server).call({"url": f"http://site.test:{server.port}/a?b=c#d"}, key="k")
    assert result.text == "Rivers\nThe Volga"
    assert result.value == {
        "url": f"http://site.test:{server.port}/a?b=c#d",
        "content_type": "text/html",
        "text": "Rivers\nThe Volga",
        "complete": True,
    }
    assert f"host: site.test:{server.port}" in server.requests[0].lower()
    assert "cookie" not in server.requests[0].lower()


async def test_a_long_page_is_cut_while_it_streams(server: Server) -> None:
    server.pages["/"] = [OK + b"x" * 5000]
    result = await local(server, max_bytes=300).call(
        {"url": f"http://site.test:{server.port}/"}, key="k"
    )
    assert result.text == "x" * 300 + "\n[cut: only the first 300 bytes were read]"
    assert isinstance(result.value, dict)
    assert result.value["complete"] is False


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\nx",
            "the unsupported type 'image/png'",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nx", "the unsupported type ''"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\n\r\nx",
            "compr",
        ),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404 Not Found"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answers 204"),
        (b"nonsense\r\n\r\n", "cannot be read: RemoteProtocolError"),
    ],
)
async def test_anything_but_a_page_is_refused(server: Server, reply: bytes, message: str) -> None:
    server.pages["/"] = [reply]
    with pytest.raises(ToolError, match=message):
        await get(local(server), f"http://site.test:{server.port}/")


async def test_a_busy_server_is_asked_again_once(server: Server) -> None:
    busy = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    server.pages["/"] = [busy, OK + b"here"]
    assert await get(local(server), f"http://site.test:{server.port}/") == "here"
    server.pages["/"] = [busy]
    with pytest.raises(ToolError, match="503"):
        await get(local(server), f"http://site.test:{server.port}/")
    assert len(server.requests) == 4


async def test_a_server_that_says_nothing_is_left_in_time(server: Server) -> None:
    server.pages["/"] = [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"]  # the head never ends
    server.linger_s = 1
    with pytest.raises(ToolError, match="Timeout"):
        await get(local(server, timeout_s=0.2), f"http://site.test:{server.port}/")


# Certificates


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a certificate for a host, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return file


@pytest.mark.parametrize("name", ["site.test", "other.test", "127.0.0.1.test"])
async def test_the_certificate_is_checked_against_the_name(tmp_path: Path, name: str) -> None:
    made, file = Server(), certificate(tmp_path, name)
    made.pages["/"] = [OK + b"here"]
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0, ssl=serving) as running:
        port = running.sockets[0].getsockname()[1]
        trusting = http_get(
            [f"site.test:{port}"],
            private=True,
            resolve=always("127.0.0.1"),
            tls=ssl.create_default_context(cafile=str(file)),
        )
        if name == "site.test":
            assert await get(trusting, f"https://site.test:{port}/") == "here"
        else:
            with pytest.raises(ToolError, match="CERTIFICATE_VERIFY_FAILED"):
                await get(trusting, f"https://site.test:{port}/")
        usual = http_get([f"site.test:{port}"], private=True, resolve=always("127.0.0.1"))
        with pytest.raises(ToolError, match="CERTIFICATE_VERIFY_FAILED"):
            await get(usual, f"https://site.test:{port}/")
    await asyncio.gather(*made.answering)


# Where it may go


@pytest.mark.parametrize(
    "url",
    [
        "http://other.test/",
        "http://site.test/",  # another port
        "https://site.test:{port}0/",
        "http://evil-site.test:{port}/",
        "http://site.test.evil.test:{port}/",
        "http://site.test:{port}@evil.test/",
        "http://evil.test#@site.test:{port}/",
        "http://evil.test\\@site.test:{port}/",
        "http://user:password@site.test:{port}/",
        "http://127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://localhost:{port}/",
        "file:///etc/passwd",
        "ftp://site.test:{port}/",
        "gopher://site.test:{port}/",
        "//site.test:{port}/",
        "site.test:{port}/",
        "http://",
        "http:///",
        "http://site.test:99999/",
        "http://site.test:{port}\r\nx: y/",
        "\x00",
    ],
)
async def test_no_other_host_is_asked(server: Server, url: str) -> None:
    server.pages["/"] = [OK + b"secret"]
    with pytest.raises(ToolError):
        await get(local(server), url.format(port=server.port))
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://SITE.test:{port}/", "http://site.test.:{port}/"])
async def test_a_host_is_known_in_every_spelling(server: Server, url: str) -> None:
    server.pages["/"] = [OK + b"here"]
    assert await get(local(server), url.format(port=server.port)) == "here"


async def test_a_star_allows_what_lies_below_and_not_the_name_itself(server: Server) -> None:
    server.pages["/"] = [OK + b"here"]
    made = http_get([f"*.site.test:{server.port}"], private=True, resolve=always("127.0.0.1"))
    assert await get(made, f"http://a.b.site.test:{server.port}/") == "here"
    for host in ("site.test", "evilsite.test", "site.test.evil"):
        with pytest.raises(ToolError, match="is not allowed"):
            await get(made, f"http://{host}:{server.port}/")


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.8"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%eth0"],
        ["93.184.215.14", "127.0.0.1"],
        [],
    ],
)
async def test_an_allowed_name_of_a_private_address_is_refused(
    server: Server, addresses: list[str]
) -> None:
    server.pages["/"] = [OK + b"secret"]
    made = http_get([f"site.test:{server.port}"], resolve=always(*addresses))
    with pytest.raises(ToolError, match="not on the public internet"):
        await get(made, f"http://site.test:{server.port}/")
    assert server.requests == []


async def test_the_name_is_looked_up_once_and_the_connection_goes_there(server: Server) -> None:
    server.pages["/"] = [OK + b"here"]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.99"]

    made = http_get([f"site.test:{server.port}"], private=True, resolve=rebinding)
    assert await get(made, f"http://site.test:{server.port}/") == "here"
    assert asked == ["site.test"]


async def test_an_address_that_refuses_leads_to_the_next(server: Server) -> None:
    server.pages["/"] = [OK + b"here"]
    made = http_get([f"site.test:{server.port}"], private=True, resolve=always("::1", "127.0.0.1"))
    assert await get(made, f"http://site.test:{server.port}/") == "here"


# Redirects


async def test_a_redirect_is_followed_within_the_allowed_hosts(server: Server) -> None:
    server.redirect("/", "/there")
    server.redirect("/there", f"//site.test:{server.port}/end")
    server.pages["/end"] = [OK + b"here"]
    result = await local(server).call({"url": f"http://site.test:{server.port}/"}, key="k")
    assert result.text == "here"
    assert isinstance(result.value, dict)
    assert result.value["url"] == f"http://site.test:{server.port}/end"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://other.test:{port}/secret",
        "file:///etc/passwd",
        "http://site.test:1/secret",
    ],
)
async def test_a_redirect_elsewhere_is_refused(server: Server, target: str) -> None:
    server.redirect("/", target.format(port=server.port))
    server.pages["/secret"] = [OK + b"secret"]
    with pytest.raises(ToolError, match=r"not allowed|not an http"):
        await get(local(server), f"http://site.test:{server.port}/")
    assert len(server.requests) == 1


async def test_an_allowed_host_with_a_private_address_is_refused_after_a_redirect_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"site.test": "127.0.0.1", "inner.test": "127.0.0.2"}

    async def resolve(host: str, port: int) -> list[str]:
        return [hosts[host]]

    def seems_public(address: str) -> bool:  # a test reaches no public address
        return address == "127.0.0.1"

    monkeypatch.setattr(web, "is_public", seems_public)
    server.redirect("/", f"http://inner.test:{server.port}/secret")
    made = http_get([f"{host}:{server.port}" for host in hosts], resolve=resolve)
    with pytest.raises(ToolError, match=r"'inner.test' is not on the public internet"):
        await get(made, f"http://site.test:{server.port}/")
    assert len(server.requests) == 1


async def test_redirects_are_bounded(server: Server) -> None:
    server.redirect("/", "/")
    with pytest.raises(ToolError, match="More than 5 redirects"):
        await get(local(server), f"http://site.test:{server.port}/")
    assert len(server.requests) == 6


# Definition


@pytest.mark.parametrize("host", ["", "http://site.test", "a@b", "*", "site.test:x", "a*.test"])
def test_a_pattern_that_is_not_a_host_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="is not a host name"):
        http_get([host])


def test_hosts_are_needed_and_part_of_the_description() -> None:
    with pytest.raises(InputError, match="has no hosts"):
        http_get([])
    assert "only: a.test, *.b.test." in http_get(["a.test", "*.b.test"]).description
