"""A bound on how deep HTML nests, since the parser's time grows with the square of the depth.

Browsers have the same bound: Chrome and Safari flatten what nests deeper than 512 elements.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

MAX_DEPTH = 512

# Comments, and elements whose content is no markup, are passed over as a whole.
_TAG = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?P<raw>script|style|textarea|title|xmp|iframe|noembed|noframes)\b.*?(?:</(?P=raw)|\Z)"
    r"|<(?P<end>/?)(?P<name>[a-z][^\s/>]*)[^>]*>?",
    re.IGNORECASE | re.DOTALL,
)
# The parser sees markup in them where they are themselves out of place (a style in an SVG), so a
# second, wider bound holds for everything that looks like a tag.
_ANY_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-z][^\s/>]*)[^>]*>?", re.IGNORECASE)
_MAX_DEPTH_OF_ANY = 4096
# Elements without content, and those that the parser closes itself before another one.
_NEVER_DEEP = frozenset(
    """area base br col embed hr img input link meta source track wbr html head body p li dt dd td
    th tr tbody thead tfoot colgroup caption option h1 h2 h3 h4 h5 h6
    """.split()  # noqa: SIM905 (names read best as words)
)


def limit_depth(html: str, *, limit: int = MAX_DEPTH) -> str:
    """Return the HTML without the tags of elements that nest deeper than `limit`; text stays."""
    html = _without(html, _excess_tags(html, _TAG, limit))
    return _without(html, _excess_tags(html, _ANY_TAG, max(limit, _MAX_DEPTH_OF_ANY)))


def _without(html: str, spans: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end in spans:
        parts.append(html[position:start])
        position = end
    return "".join([*parts, html[position:]]) if parts else html


def _excess_tags(html: str, pattern: re.Pattern[str], limit: int) -> Iterator[tuple[int, int]]:
    open_tags: list[str] = []
    dropped: Counter[str] = Counter()
    for match in pattern.finditer(html):
        name = (match["name"] or "").lower()
        if not name or name in _NEVER_DEEP:
            continue
        if not match["end"]:
            if len(open_tags) < limit:
                open_tags.append(name)
                continue
            dropped[name] += 1
        elif dropped[name]:
            dropped[name] -= 1
        else:
            _close(open_tags, name)
            continue
        yield match.span()


def _close(open_tags: list[str], name: str) -> None:
    """Close the innermost element of that name and all within it, as the parser would."""
    for depth in range(len(open_tags) - 1, -1, -1):
        if open_tags[depth] == name:
            del open_tags[depth:]
            return
