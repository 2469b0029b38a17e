"""A web site on this machine, for tests of what reads pages."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePage:
    """A page.

    Attributes:
        body: The content.
        status: Of the response.
        headers: Of the response; with an `ETag` or `Last-Modified`, conditions are answered.
        cut: Whether the connection is closed within the body.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut: bool = False


class WebSite:
    """A site whose pages may be changed while it runs.

    Attributes:
        url: Of the site, without a slash at its end.
        pages: The pages by path; others are answered with 404.
        requests: Path and headers, with names in lower case, of all requests.
    """

    def __init__(self, url: str) -> None:
        """Begin without pages."""
        self.url = url
        self.pages: dict[str, SitePage] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []

    def html(self, path: str, text: str, **headers: str) -> None:
        """Put a page of HTML there, with a heading and a text, and an ETag of its content."""
        body = f"<html><h1>{path}</h1><p>{text}</p></html>".encode()
        etag = {"ETag": f'"{hash(body)}"'} if "Last-Modified" not in headers else {}
        self.pages[path] = SitePage(
            body=body, headers={"Content-Type": "text/html; charset=utf-8", **etag, **headers}
        )

    def sitemap(self, *paths: str, at: str = "/sitemap.xml", kind: str = "url") -> None:
        """Put a sitemap there that lists paths of the site, or whole URLs."""
        urls = (path if "://" in path else f"{self.url}{path}" for path in paths)
        entries = "".join(f"<{kind}><loc>{url}</loc></{kind}>" for url in urls)
        root = "urlset" if kind == "url" else "sitemapindex"
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        body = f'<?xml version="1.0"?><{root} xmlns="{space}">{entries}</{root}>'.encode()
        self.pages[at] = SitePage(body=body, headers={"Content-Type": "application/xml"})

    def asked(self) -> list[str]:
        """Return the paths that were asked for since the last call, without robots.txt."""
        paths = [path for path, _ in self.requests if path != "/robots.txt"]
        self.requests.clear()
        return paths

    def reply(self, path: str, headers: Mapping[str, str]) -> SitePage:
        """Return the response to a request."""
        self.requests.append((path, headers))
        page = self.pages.get(path, SitePage(status=404))
        for name, condition in (("ETag", "if-none-match"), ("Last-Modified", "if-modified-since")):
            if page.headers.get(name) and headers.get(condition) == page.headers[name]:
                return SitePage(status=304, headers=page.headers)
        return page


@contextmanager
def serving() -> Generator[WebSite]:
    """Serve a site on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        """Answers for the site."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Send a page."""
            page = site.reply(self.path, {name.lower(): v for name, v in self.headers.items()})
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.status != 304:
                self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if page.status != 304:
                self.wfile.write(page.body[: len(page.body) // 2] if page.cut else page.body)
            self.close_connection = page.cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = WebSite(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
