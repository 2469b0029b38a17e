"""HTML: the visible text of a page's main content, block by block."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError
from ragkit.core.types import Document, MetadataValue
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text, has_byte_order_mark
from ragkit.ingest.loaders.html.blocks import DROPPED, is_dropped, write_blocks
from ragkit.ingest.loaders.html.depth import limit_depth
from ragkit.ingest.loaders.html.tree import is_hidden
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import title_from

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_CHARSET = re.compile(
    rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_SEARCHED_FOR_CHARSET = 4096
# The codec that a browser uses for a name (https://encoding.spec.whatwg.org/#names-and-labels).
_AS_BROWSERS_READ: Mapping[str, str] = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
_NOT_FOR_THE_WEB = frozenset({"utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode"})
_METADATA: Mapping[str, str] = {
    "description": "description",
    "author": "author",
    "keywords": "keywords",
    "date": "date",
    "article:published_time": "date",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlLoader(EncodedLoader):
    """A loader of HTML; `encoding` applies where the page itself names no encoding."""

    version = "html-3"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Parse as a browser does and keep the text of `<main>`, the page's article or the body.

        The page's article is a lone `<article>` that holds most of the body's text.

        Raises:
            InputError: The file is empty, binary or in another encoding, or shows no text.
        """
        from selectolax.lexbor import LexborHTMLParser

        declared = _declared_codec(data)
        codec = declared or self.encoding
        source = decode_text(data, uri=uri, encoding=codec, declared=declared is not None)
        tree = LexborHTMLParser(limit_depth(source))
        content = _content(tree, uri=uri)
        named = tree.css_first("head title")
        return Document(
            uri=uri,
            title=(" ".join(named.text().split()) if named else "")
            or title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata=_metadata(tree),
            content_hash=content_hash(data),
        )


def write_page(content: TextBuilder, data: bytes) -> None:
    """Append the visible text of a page that is a part of a document, such as a book's chapter."""
    from selectolax.lexbor import LexborHTMLParser

    source = data.decode(_declared_codec(data) or "utf-8", "replace")
    body = LexborHTMLParser(limit_depth(source)).body
    if body is None:
        return
    for block in write_blocks(body, dropped=DROPPED).blocks:
        content.append(block.kind, block.text, level=block.level)


def _declared_codec(data: bytes) -> str | None:
    """Return the encoding that the page declares, if it counts and Python has it."""
    found = None if has_byte_order_mark(data) else _CHARSET.search(data[:_SEARCHED_FOR_CHARSET])
    if not found:
        return None
    return codec_of_label((found[1] or found[2]).decode("ascii"))


def codec_of_label(label: str) -> str | None:
    """Return the codec that a browser reads an encoding with, None for one that it ignores."""
    try:
        "a".encode(label)
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return None if name in _NOT_FOR_THE_WEB else _AS_BROWSERS_READ.get(name, name)


def _content(tree: "LexborHTMLParser", *, uri: str) -> TextBuilder:
    # Some sites wrap the whole page in a form: forms are read where nothing else has text.
    for dropped in (DROPPED, DROPPED - {"form"}):
        for main in (node for node in tree.css("main") if not is_hidden(node)):
            content = write_blocks(main, dropped=dropped)
            if content.blocks:
                return content
        content = _body_content(tree, dropped)
        if content.blocks:
            return content
    raise InputError(
        f"{uri!r} shows no text: scripts probably fill the page. Fix: save it from a browser after "
        "it has loaded, and load that file."
    )


def _body_content(tree: "LexborHTMLParser", dropped: frozenset[str]) -> TextBuilder:
    """Return the blocks of the body, or of its lone article where that is most of it."""
    content = write_blocks(tree.body, dropped=dropped) if tree.body else TextBuilder()
    articles = tree.css("article")
    if len(articles) != 1 or _is_aside(articles[0]):
        return content
    article = write_blocks(articles[0], dropped=dropped)
    return article if 2 * len(article.text) > len(content.text) else content


def _is_aside(node: "LexborNode | None") -> bool:
    """Return whether a node is hidden or lies in an element that holds no text of the document."""
    while node is not None and node.is_element_node:
        if is_dropped(node, DROPPED - {"form"}):
            return True
        node = node.parent
    return False


def _metadata(tree: "LexborHTMLParser") -> dict[str, MetadataValue]:
    values: dict[str, MetadataValue] = {}
    for node in tree.css("meta"):
        name = node.attributes.get("name") or node.attributes.get("property") or ""
        key = _METADATA.get(name.lower())
        content = " ".join((node.attributes.get("content") or "").split())
        if key and content:
            words = tuple(word for part in content.split(",") if (word := part.strip()))
            values.setdefault(key, words if key == "keywords" else content)
    root = tree.css_first("html")
    if lang := (root and (root.attributes.get("lang") or "").strip()):
        values["lang"] = lang
    return {key: value for key, value in values.items() if value}
