"""Requests for pages: within the site, polite, bounded, and to public addresses only."""

import gzip
import socket

import psutil  # type: ignore[import-untyped]
import pytest

from ragkit.core.settings import WebSettings
from ragkit.ingest.sources.web.client import WebClient
from ragkit.ingest.sources.web.connection import WebConnection
from ragkit.ingest.sources.web.site import Site, page_uri
from ragkit.testing.ingestion import IngestBench
from ragkit.testing.web_site import SitePage, WebSite, serving

pytestmark = pytest.mark.enable_socket


async def reason(bench: IngestBench, url: str) -> str:
    """Return the reason why a page of a run with another document fails."""
    report = await bench.ingest(url, ("note", "words"))
    return report.failed[0].reason if report.failed else ""


async def test_redirects_are_followed_within_the_site_only(
    bench: IngestBench, site: WebSite
) -> None:
    site.html("/new", "words")
    site.pages["/old"] = SitePage(status=301, headers={"Location": "/new"})
    site.pages["/round"] = SitePage(status=302, headers={"Location": "/round"})
    assert (await bench.ingest(f"{site.url}/old")).added == [f"{site.url}/old"]
    assert "leads on more than 5 times" in await reason(bench, f"{site.url}/round")
    with serving() as other:  # another port is another site
        other.html("/x", "a secret of an inner service")
        site.pages["/out"] = SitePage(status=302, headers={"Location": f"{other.url}/x"})
        found = await reason(bench, f"{site.url}/out")
        assert f"leads to '{other.url}/x', which is another site" in found
        assert other.requests == []


async def test_a_sitemap_cannot_send_requests_elsewhere(bench: IngestBench, site: WebSite) -> None:
    with serving() as other:
        site.sitemap(f"{other.url}/x", f"{other.url.replace('127.0.0.1', 'localhost')}/x")
        report = await bench.ingest(f"{site.url}/sitemap.xml", ("note", "words"))
        assert "lists 2 URLs of other sites" in report.failed[0].reason
        assert other.requests == []


def resolve_as(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let names stand for these addresses, one after the other."""
    answers, resolve = iter(addresses), socket.getaddrinfo

    def answer(host: str, port: int, *arguments: int, **options: int) -> object:
        if host == "127.0.0.1":
            return resolve(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_a_name_does_not_stand_for_a_private_address(
    bench: IngestBench, site: WebSite, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolve_as(monkeypatch, address)
    port = site.url.rpartition(":")[2]
    found = await reason(bench, f"http://pages.example:{port}/a")
    assert f"'pages.example' is not on the public internet ({address}). Fix: " in found
    assert site.requests == []


def test_a_name_is_looked_up_once_whatever_it_stands_for_later(
    site: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, "127.0.0.1", "169.254.169.254")
    site.html("/a", "words")
    port = site.url.rpartition(":")[2]
    url = f"http://inner.example:{port}"
    client = WebClient(Site.of(url), WebSettings(private=True, delay_s=0), max_bytes=10_000)
    assert client.fetch(f"{url}/a").data == client.fetch(f"{url}/a").data
    assert {headers["host"] for _, headers in site.requests} == {f"inner.example:{port}"}
    client.close()


async def test_robots_txt_is_obeyed_unless_the_setting_says_otherwise(
    bench: IngestBench, site: WebSite
) -> None:
    site.html("/private/a", "words")
    site.html("/b", "words")
    rules = b"User-agent: *\nDisallow: /private/\n\nUser-agent: other\nDisallow: /\n"
    site.pages["/robots.txt"] = SitePage(body=rules)
    report = await bench.ingest(f"{site.url}/private/a", f"{site.url}/b")
    assert report.added == [f"{site.url}/b"]
    assert "robots.txt of '127.0.0.1' forbids" in report.failed[0].reason
    assert "ingest.web.robots = false" in report.failed[0].reason
    site.requests.clear()
    object.__setattr__(bench.reader, "web", WebSettings(delay_s=0, robots=False))
    assert (await bench.ingest(f"{site.url}/private/a")).ok
    assert [path for path, _ in site.requests] == ["/private/a"]


async def test_a_site_whose_robots_txt_fails_is_left_alone(
    bench: IngestBench, site: WebSite
) -> None:
    site.html("/a", "words")
    site.pages["/robots.txt"] = SitePage(status=500)
    assert "/robots.txt' answers 500" in await reason(bench, f"{site.url}/a")
    assert site.asked() == []


def test_a_delay_passes_between_two_requests(
    site: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    site.html("/a", "words")
    site.pages["/robots.txt"] = SitePage(body=b"User-agent: *\nCrawl-delay: 7\n")
    settings = WebSettings(delay_s=3)
    client = WebClient(Site.of(site.url), settings, max_bytes=10_000)
    for _ in range(2):
        client.fetch(f"{site.url}/a")
    client.close()
    robots, first, second = waits
    assert robots == 0
    assert 0 < first <= 3
    assert 3 < second <= 7


async def test_what_may_come_later_is_asked_for_again(bench: IngestBench, site: WebSite) -> None:
    site.pages["/busy"] = SitePage(status=429, headers={"Retry-After": "0"})
    assert "answers 429" in await reason(bench, f"{site.url}/busy")
    assert site.asked() == ["/busy"] * 3
    site.pages["/cut"] = SitePage(body=b"x" * 1000, cut=True)
    assert "dropped the connection" in await reason(bench, f"{site.url}/cut")
    assert site.asked() == ["/cut"] * 3


async def test_a_dead_site_is_not_asked_for_every_page(bench: IngestBench, site: WebSite) -> None:
    site.sitemap(*(f"/{number}" for number in range(20)))
    for number in range(20):
        site.pages[f"/{number}"] = SitePage(status=502)
    report = await bench.ingest(f"{site.url}/sitemap.xml")
    assert len(report.failed) == 20
    assert "failed 5 times in a row" in report.failed[-1].reason
    assert len(site.asked()) == 1 + 5 * 3


# Content


async def test_size_is_bounded_packed_or_not(bench: IngestBench, site: WebSite) -> None:
    large = b"<p>" + b"x " * 10**6
    site.pages["/large"] = SitePage(body=large)
    site.pages["/packed"] = SitePage(
        body=gzip.compress(large), headers={"Content-Encoding": "gzip"}
    )
    for path in ("/large", "/packed"):
        assert "MiB allowed. Fix: leave it out, or raise" in await reason(bench, site.url + path)


def test_a_connection_that_is_closed_during_a_request_leaves_no_socket(
    site: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.html("/a", "words")
    connection = WebConnection(Site.of(site.url), WebSettings())
    look_up = Site.addresses

    def closing(one: Site, *, private: bool) -> list[str]:
        connection.close()  # as another thread would, between the start and the request
        return look_up(one, private=private)

    monkeypatch.setattr(Site, "addresses", closing)
    assert connection.get(f"{site.url}/a", {}, max_bytes=10_000).status == 200
    port = int(site.url.rpartition(":")[2])
    opened = psutil.Process().net_connections("tcp")
    assert not [one for one in opened if one.raddr and one.raddr.port == port]


async def test_time_is_bounded_though_a_site_sends_byte_by_byte(
    bench: IngestBench, site: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.html("/a", "words")
    clock = iter(range(0, 10**9, 100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    object.__setattr__(bench.reader, "web", WebSettings(delay_s=0, robots=False))
    client = WebClient(Site.of(site.url), bench.reader.web, max_bytes=10_000)
    monkeypatch.setattr("ragkit.ingest.sources.web.connection._BODY_WAITS", 1)
    with pytest.raises(Exception, match="took more than 30 s"):
        client.fetch(f"{site.url}/a")
    client.close()


@pytest.mark.parametrize(
    ("path", "content_type", "body", "text"),
    [
        ("/a", "text/html", b"<h1>T</h1><p>one", "T\n\none"),
        ("/a.php", "text/html; charset=ISO-8859-1", b"<p>caf\xe9", "café"),
        ("/b", "text/html; charset=utf-8", '<meta charset="latin1"><p>é'.encode(), "é"),
        ("/c", "text/plain; charset=shift_jis", "日本語".encode("shift_jis"), "日本語"),
        ("/d.md", "text/plain", b"# T\n\none", "# T\n\none"),
        ("/e", "text/markdown", b"# T\n\none", "# T\n\none"),
        ("/f.bin", "application/json; charset=utf-8", b'{"a": "one"}', "a: one"),
        ("/g", "application/ld+json", b'{"a": "one"}', "a: one"),
        ("/h.md", "application/octet-stream", b"# T\n\none", "# T\n\none"),
        ("/i.md", "", b"# T\n\none", "# T\n\none"),
        ("/j", "text/html; charset=no-such-charset", "<p>é".encode(), "é"),
    ],
)
async def test_the_type_and_charset_of_the_header_decide(
    bench: IngestBench, site: WebSite, path: str, content_type: str, body: bytes, text: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    site.pages[path] = SitePage(body=body, headers=headers)
    report = await bench.ingest(f"{site.url}{path}")
    (chunk,) = await bench.index.chunks(report.added)
    assert chunk.text.strip() == text


async def test_content_that_cannot_be_read_is_named(bench: IngestBench, site: WebSite) -> None:
    site.pages["/image"] = SitePage(
        body=b"\x89PNG\r\n\x1a\n", headers={"Content-Type": "image/png"}
    )
    assert "No loader reads 'image'" in await reason(bench, f"{site.url}/image")
    site.pages["/wrong"] = SitePage(
        body=b"caf\xe9", headers={"Content-Type": "text/plain; charset=utf-8"}
    )
    assert "is not utf-8, as its server says" in await reason(bench, f"{site.url}/wrong")
    site.pages["/login"] = SitePage(status=401)
    assert "user and password in the URL" in await reason(bench, f"{site.url}/login")


# URLs


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://Example.org", "https://example.org/"),
        ("https://example.org/a?b=c#d", "https://example.org/a?b=c"),
        ("https://u:p@example.org/ü", "https://example.org/%C3%BC"),
    ],
)
def test_a_page_has_one_uri(url: str, uri: str) -> None:
    assert page_uri(url) == uri


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org:8443/", "http://example.org:8080/", "http://example.org.evil.net/",
        "http://other.org/", "ftp://example.org/", "https://example.org:80/", "http:///x", "/x", "",
        "http://example.org:x/", "http://u:a/b@example.org/", "http://[::1/",
    ],
)  # fmt: skip
def test_a_site_covers_no_other(url: str) -> None:
    assert not Site.of("http://example.org/a").covers(url)
    assert not Site.of("https://example.org/").covers("http://example.org/")
    assert Site.of("http://example.org/").covers("https://example.org/a")
