"""The collection that a URL names."""

import re
from urllib.parse import urlsplit

from ragkit.ingest.sources.collection import Collection
from ragkit.ingest.sources.git.repository import GitRepository
from ragkit.ingest.sources.object_store import ObjectStore
from ragkit.ingest.sources.web.pages import Sitemap

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SITEMAP = re.compile(r"sitemap[^/]*\.xml(\.gz)?$", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether a text is a URL, and no path."""
    return bool(_URL.match(text))


def collection_of(url: str, *, name: str | None = None) -> Collection | None:
    """Return the collection that a URL names, None for that of a single web page.

    Args:
        url: The URL.
        name: The name that a user gave the source.

    Raises:
        InputError: It cannot be one.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        is_sitemap = _SITEMAP.search(urlsplit(url).path.rpartition("/")[2])
        return Sitemap(url=url, source=name) if is_sitemap else None
    if scheme.startswith("git+"):
        return GitRepository.parse(url, source=name)
    return ObjectStore(url=url, source=name)
