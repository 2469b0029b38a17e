"""A walk over an HTML tree without recursion, and the white space of its text."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

BLOCK_TAGS = frozenset(
    """address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol
    optgroup option p pre search section summary table tbody td tfoot th thead tr ul""".split()  # noqa: SIM905 (names read best as words)
)
"""Elements that begin and end a line."""

_COLLAPSIBLE = re.compile(r"[ \t\n\r\f]+")
_AROUND_LINE_BREAK = re.compile(r" *\n *")
_SPACES = re.compile(r" +")
# Non-breaking spaces read as spaces; soft hyphens and zero-width spaces are invisible.
_INVISIBLE = str.maketrans(
    {"\xa0": " ", "\xad": None, "\u200b": None, "\u2060": None, "\ufeff": None}
)


def walk(
    root: "LexborNode",
    *,
    skip: "Callable[[LexborNode], bool]",
    opaque: "Callable[[LexborNode], bool]" = lambda _: False,
) -> "Iterator[tuple[LexborNode, bool]]":
    """Yield each node as it is entered (True) and left (False), in document order.

    Nodes for which `skip` holds are left out with all they contain; those for which `opaque`
    holds are entered and left, but what they contain is not visited.
    """
    pending = [(root, True)]
    while pending:
        node, entering = pending.pop()
        if entering and skip(node):
            continue
        yield node, entering
        if entering:
            pending.append((node, False))
            child = None if opaque(node) else node.last_child
            while child is not None:
                pending.append((child, True))
                child = child.prev


_PERMALINK_SIGNS = frozenset({"#", "¶", "§", "🔗", "\uf0c1"})


def is_hidden(node: "LexborNode") -> bool:
    """Return whether an element declares itself hidden, to everyone or to screen readers."""
    attributes = node.attributes
    if "hidden" in attributes:
        return True
    return (attributes.get("aria-hidden") or "").strip().lower() == "true"


def is_permalink(node: "LexborNode") -> bool:
    """Return whether an element is the sign that links to a heading beside it, such as `#`."""
    if node.tag != "a" or not (node.attributes.get("href") or "").startswith("#"):
        return False
    return (node.text() or "").strip() in _PERMALINK_SIGNS


def role(node: "LexborNode") -> str:
    """Return the ARIA role of an element, empty where it has none."""
    return (node.attributes.get("role") or "").strip().lower()


def inline_text(node: "LexborNode") -> str:
    """Return the text of a text node with each run of white space made one space."""
    return _COLLAPSIBLE.sub(" ", node.text_content or "").translate(_INVISIBLE)


def verbatim_text(node: "LexborNode") -> str:
    """Return the text of a text node with its white space kept."""
    text = (node.text_content or "").translate(_INVISIBLE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def joined(pieces: list[str]) -> str:
    """Join inline pieces; only line breaks that an element asked for remain."""
    return _AROUND_LINE_BREAK.sub("\n", _SPACES.sub(" ", "".join(pieces))).strip()
