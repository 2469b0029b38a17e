"""Web pages and sitemaps: only what changed is sent, and only what is surely gone is deleted."""

import asyncio
import gzip
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.core.types import Metadata
from ragkit.ingest.deletion import MASS_DELETION
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.sources import PathPatterns, Sitemap, WebPages
from ragkit.ingest.sources.web import sitemap
from ragkit.testing.ingestion import IngestBench
from ragkit.testing.web_site import SitePage, WebSite, serving

pytestmark = pytest.mark.enable_socket
SYNC = RunOptions(sync=True)
FORCED = RunOptions(sync=True, force=True)


def filled(site: WebSite, *paths: str) -> str:
    """Put pages and a sitemap of them on a site; return its URL."""
    for path in paths:
        site.html(path, f"words of {path}")
    site.sitemap(*paths)
    return f"{site.url}/sitemap.xml"


async def test_the_pages_of_a_sitemap_are_documents_by_their_urls(
    bench: IngestBench, site: WebSite
) -> None:
    report = await bench.ingest(filled(site, "/a", "/docs/b"))
    assert (report.added, report.ok) == ([f"{site.url}/a", f"{site.url}/docs/b"], True)
    (chunk,) = await bench.index.chunks([f"{site.url}/docs/b"])
    assert chunk.text == "/docs/b\n\nwords of /docs/b"


async def test_an_unchanged_page_is_neither_sent_again_nor_embedded(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/a", "/b", "/c")
    old = "Mon, 01 Jan 2024 00:00:00 GMT"
    site.html("/c", "words", **{"Last-Modified": old})
    await bench.ingest(url)
    embedded = len(bench.embedder.texts)
    site.html("/b", "other words")
    site.requests.clear()
    report = await bench.ingest(url)
    conditions = dict(site.requests)
    assert conditions["/a"]["if-none-match"] == site.pages["/a"].headers["ETag"]
    assert conditions["/c"]["if-modified-since"] == old
    assert report.updated == [f"{site.url}/b"]
    assert report.unchanged == [f"{site.url}/a", f"{site.url}/c"]
    assert len(bench.embedder.texts) == embedded + 1


async def test_a_page_whose_server_says_nothing_is_compared_by_its_content(
    bench: IngestBench, site: WebSite
) -> None:
    now = {"Content-Type": "text/plain", "Last-Modified": "Fri, 31 Dec 9999 00:00:00 GMT"}
    site.pages["/a"] = SitePage(body=b"some words", headers=now)
    await bench.ingest(f"{site.url}/a")
    report = await bench.ingest(f"{site.url}/a")
    assert report.unchanged == [f"{site.url}/a"]
    assert "if-modified-since" not in site.requests[-1][1]


async def test_a_page_is_read_again_for_another_loader_or_other_metadata(
    bench: IngestBench, site: WebSite
) -> None:
    await bench.ingest(filled(site, "/2024/a"))

    def year(path: Path) -> Metadata:
        return {"year": path.parent.name}

    object.__setattr__(bench.reader, "metadata", year)
    report = await bench.ingest(f"{site.url}/sitemap.xml")
    assert report.updated == [f"{site.url}/2024/a"]
    (chunk,) = await bench.index.chunks(report.updated)
    assert chunk.metadata["year"] == "2024"


async def test_a_sync_deletes_what_its_sitemap_no_longer_lists_and_nothing_else(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/a", "/b", "/alone")
    site.sitemap("/x", "/alone", at="/other/sitemap.xml")
    site.html("/x", "words")
    await bench.ingest(f"{site.url}/alone")
    await bench.ingest(url, f"{site.url}/other/sitemap.xml", ("note", "made in code"))
    site.sitemap("/b")
    assert (await bench.ingest(url)).deleted == []
    report = await bench.ingest(url, run=SYNC)
    assert (report.deleted, report.failed) == ([f"{site.url}/a"], [])
    kept = sorted(["note", *(f"{site.url}{path}" for path in ("/b", "/alone", "/x"))])
    assert await bench.uris() == kept


async def test_a_sync_with_patterns_deletes_only_what_they_cover(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/docs/a", "/docs/b", "/blog/c")
    await bench.ingest(url)
    site.sitemap("/docs/b")
    only = PathPatterns.of(include=["/docs/**"])
    report = await bench.ingest(url, patterns=only, run=SYNC)
    assert report.deleted == [f"{site.url}/docs/a"]


async def test_a_named_list_is_synced_by_its_name(bench: IngestBench, site: WebSite) -> None:
    filled(site, "/a", "/b", "/c")
    a, b, c = (f"{site.url}{path}" for path in ("/a", "/b", "/c"))
    await bench.ingest(a, b, source="handbook")
    await bench.ingest(c)
    assert (await bench.ingest(WebPages(urls=[b]), run=SYNC)).deleted == []
    assert (await bench.ingest(b, source="handbook", run=SYNC)).deleted == [a]
    assert await bench.uris() == [b, c]


# What is not surely gone


@pytest.mark.parametrize(
    "page",
    [
        SitePage(status=404),
        SitePage(status=503, headers={"Retry-After": "0"}),
        SitePage(body=b"<html>we are down</html>"),
        SitePage(body=b"<urlset><url><loc>URL/b</loc></url>"),
        SitePage(body=b"<urlset><url><loc>URL/b</loc></url></urlset>", cut=True),
        SitePage(body=b"<urlset><url><loc>URL/b</loc></url><url><loc>http://x.example/</loc></url>"
        b"</urlset>"),
        SitePage(body=b'<!DOCTYPE u [<!ENTITY a "b">]><urlset>&a;</urlset>'),
        SitePage(body=gzip.compress(b"x" * 10**6)),
    ],
    ids=["gone", "down", "page", "open", "cut", "elsewhere", "entities", "bomb"],
)  # fmt: skip
async def test_a_sitemap_that_is_not_all_there_deletes_nothing_even_by_force(
    bench: IngestBench, site: WebSite, page: SitePage
) -> None:
    url = filled(site, "/a", "/b")
    await bench.ingest(url)
    body = page.body.replace(b"URL", site.url.encode())
    site.pages["/sitemap.xml"] = SitePage(
        body=body, status=page.status, headers=page.headers, cut=page.cut
    )
    report = await bench.ingest(url, ("note", "in the same run"), run=FORCED)
    assert (report.deleted, [failure.uri for failure in report.failed]) == ([], [url])
    assert await bench.uris() == sorted(["note", f"{site.url}/a", f"{site.url}/b"])


async def test_a_site_that_is_gone_deletes_nothing(bench: IngestBench) -> None:
    with serving() as site:
        url = filled(site, "/a", "/b")
        await bench.ingest(url)
    report = await bench.ingest(url, ("note", "in the same run"), run=FORCED)
    assert report.deleted == []
    assert "No server answers at" in report.failed[0].reason
    with pytest.raises(InputError, match="No server answers at"):
        await bench.ingest(url, run=FORCED)
    assert len(await bench.uris()) == 3


async def test_a_sitemap_within_a_sitemap_that_fails_deletes_nothing(
    bench: IngestBench, site: WebSite
) -> None:
    filled(site, "/a", "/b")
    site.sitemap("/sitemap.xml", "/more.xml", at="/sitemap-index.xml", kind="sitemap")
    site.sitemap("/c", at="/more.xml")
    site.html("/c", "words")
    index = f"{site.url}/sitemap-index.xml"
    assert len((await bench.ingest(index)).added) == 3
    site.sitemap("/b")
    del site.pages["/more.xml"]
    assert (await bench.ingest(index, run=FORCED)).deleted == []
    site.sitemap(at="/more.xml")
    assert (await bench.ingest(index, run=SYNC)).deleted == [f"{site.url}/a", f"{site.url}/c"]


async def test_an_empty_sitemap_and_a_mass_deletion_are_refused_unless_forced(
    bench: IngestBench, site: WebSite
) -> None:
    paths = [f"/{number:02}" for number in range(2 * MASS_DELETION - 1)]
    url = filled(site, *paths)
    await bench.ingest(url)
    site.sitemap()
    report = await bench.ingest(url, run=SYNC)
    assert (report.deleted, report.failed[0].uri) == ([], url)
    assert "it is empty or gone" in report.failed[0].reason
    site.sitemap(*paths[MASS_DELETION:])
    report = await bench.ingest(url, run=SYNC)
    assert "10 of 19 are gone" in report.failed[0].reason
    assert len((await bench.ingest(url, run=FORCED)).deleted) == MASS_DELETION


async def test_a_page_that_fails_is_not_gone_and_leaves_the_others(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/a", "/b")
    await bench.ingest(url)
    del site.pages["/a"]
    site.html("/b", "other words")
    report = await bench.ingest(url, run=FORCED)
    assert (report.updated, report.deleted) == ([f"{site.url}/b"], [])
    assert [failure.uri for failure in report.failed] == [f"{site.url}/a"]
    assert "answers 404 Not Found. Fix: check the URL" in report.failed[0].reason
    assert len(await bench.uris()) == 2


async def test_no_more_pages_are_listed_than_the_setting_allows(
    bench: IngestBench, site: WebSite
) -> None:
    web = bench.reader.web.model_copy(update={"max_pages": 2})
    object.__setattr__(bench.reader, "web", web)
    report = await bench.ingest(filled(site, "/a", "/b", "/c"), run=FORCED)
    assert len(report.added) == 2
    assert "ingest.web.max_pages" in report.failed[0].reason


# Identities


async def test_a_page_in_several_lists_is_one_document(bench: IngestBench, site: WebSite) -> None:
    url = filled(site, "/a")
    report = await bench.ingest(url, f"{site.url}/a", f"{site.url}/a#part", url)
    assert (report.added, report.failed) == ([f"{site.url}/a"], [])
    assert site.asked() == ["/sitemap.xml", "/a"]


async def test_a_page_by_itself_is_that_of_its_sitemap(bench: IngestBench, site: WebSite) -> None:
    url = filled(site, "/a", "/b")
    await bench.ingest(url)
    site.html("/a", "other words")
    report = await bench.ingest(f"{site.url}/a")
    assert (report.updated, report.failed) == ([f"{site.url}/a"], [])
    site.sitemap("/b")
    assert (await bench.ingest(url, run=SYNC)).deleted == [f"{site.url}/a"]


async def test_a_password_is_sent_and_neither_stored_nor_shown(
    bench: IngestBench, site: WebSite
) -> None:
    filled(site, "/a", "/b")
    host = site.url.removeprefix("http://")
    secret = f"http://user:secret-word@{host}"
    site.sitemap(f"{secret}/a", "/b", "/gone")
    report = await bench.ingest(f"{secret}/sitemap.xml")
    assert {headers["authorization"] for _, headers in site.requests} == {
        "Basic dXNlcjpzZWNyZXQtd29yZA=="
    }
    records = await bench.index.records()
    assert report.added == [f"{site.url}/a", f"{site.url}/b"]
    assert "secret-word" not in f"{report} {report.failed} {records}"
    assert "secret-word" not in str(Sitemap(url=f"{secret}/sitemap.xml").name)


async def test_two_lists_of_one_name_are_one(bench: IngestBench, site: WebSite) -> None:
    filled(site, "/a", "/b", "/c")
    site.sitemap("/b", "/c", at="/more/sitemap.xml")
    site.sitemap("/a")
    lists = [f"{site.url}/sitemap.xml", f"{site.url}/more/sitemap.xml"]
    await bench.ingest(*lists, source="x")
    site.sitemap("/b", at="/more/sitemap.xml")
    site.pages["/sitemap.xml"] = SitePage(status=404)
    report = await bench.ingest(*lists, source="x", run=FORCED)
    assert (report.deleted, len(report.failed)) == ([], 1)
    site.sitemap("/a")
    assert (await bench.ingest(*lists, source="x", run=SYNC)).deleted == [f"{site.url}/c"]


async def test_the_first_page_of_a_site_is_matched_by_patterns_too(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/", "/a.html")
    only = PathPatterns.of(include=["*.html"])
    assert (await bench.ingest(url, patterns=only)).added == [f"{site.url}/a.html"]
    assert (await bench.ingest(url)).added == [f"{site.url}/"]


def test_a_sitemap_of_countless_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "_MOST_EVENTS", 1000)
    data = b"<urlset>" + b"<a/>" * 1000 + b"</urlset>"
    with pytest.raises(InputError, match="more than 500 elements"):
        list(sitemap.sitemap_entries(data, url="x", max_bytes=10**6))


async def test_a_sitemap_may_be_packed(bench: IngestBench, site: WebSite) -> None:
    filled(site, "/a")
    packed = gzip.compress(site.pages["/sitemap.xml"].body)
    site.pages["/sitemap.xml.gz"] = SitePage(body=packed)
    assert (await bench.ingest(f"{site.url}/sitemap.xml.gz")).added == [f"{site.url}/a"]


def test_an_entry_without_a_url_is_none() -> None:
    data = b"<urlset><url><loc/></url><url/></urlset>"
    assert list(sitemap.sitemap_entries(data, url="x", max_bytes=10**6)) == []


async def test_an_ingestion_that_is_cancelled_while_a_site_waits_ends(
    bench: IngestBench, site: WebSite
) -> None:
    url = filled(site, "/a")
    arrived, release = threading.Event(), threading.Event()
    reply = site.reply

    def wait(path: str, headers: Mapping[str, str]) -> SitePage:
        if path == "/a":
            arrived.set()
            release.wait(30)
        return reply(path, headers)

    site.reply = wait  # type: ignore[method-assign]
    task = asyncio.create_task(bench.ingest(url))
    assert await asyncio.to_thread(arrived.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await bench.uris() == []
    site.reply = reply  # type: ignore[method-assign]
    assert (await bench.ingest(url)).added == [f"{site.url}/a"]
