"""Sitemaps (sitemaps.org): the URLs of pages and of further sitemaps in one file."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ragkit.core.errors import InputError
from ragkit.ingest.loaders.xml_names import local_name
from ragkit.ingest.sources.web.content import gunzipped

_GZIP = b"\x1f\x8b"
_KINDS: dict[str, Literal["page", "sitemap"]] = {"url": "page", "sitemap": "sitemap"}
_MOST_EVENTS = 2_000_000
"""Of its elements, two each: a sitemap of 50,000 pages has a tenth of them."""
_ROOTS = frozenset({"urlset", "sitemapindex"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SitemapEntry:
    """A URL in a sitemap, as it stands there."""

    kind: Literal["page", "sitemap"]
    url: str


def sitemap_entries(data: bytes, *, url: str, max_bytes: int) -> Iterator[SitemapEntry]:
    """Yield the entries of a sitemap, which may be packed with gzip.

    Raises:
        InputError: It is no sitemap, declares entities, or is cut off or too large.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    if data.startswith(_GZIP):
        data = gunzipped(data, url=url, max_bytes=max_bytes)
    try:
        root = None
        events = iterparse(io.BytesIO(data), events=("start", "end"))
        for count, (event, element) in enumerate(events):
            if count > _MOST_EVENTS:
                raise _no_sitemap(url, f"it has more than {_MOST_EVENTS // 2} elements")
            name = local_name(element.tag)
            if root is None:
                root = element
                if name not in _ROOTS:
                    raise _no_sitemap(url, f"its root is <{name:.50}>")
            if event == "end" and name in _KINDS:
                found = [one.text for one in element if local_name(one.tag) == "loc"]
                root.clear()  # memory stays that of one entry
                if found and found[0]:
                    yield SitemapEntry(kind=_KINDS[name], url=found[0].strip())
    except DefusedXmlException as error:
        raise _no_sitemap(url, f"it declares entities ({error})") from error
    except (ParseError, ValueError, LookupError) as error:
        raise _no_sitemap(url, str(error)) from error


def _no_sitemap(url: str, reason: str) -> InputError:
    return InputError(f"{url!r} is no sitemap: {reason}. Fix: check what its server sends.")
