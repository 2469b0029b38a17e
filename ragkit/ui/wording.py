"""Texts for Streamlit's Markdown."""

_MARKUP = frozenset(r"\`*_{}[]()#+-.!|~$<>:&")


def plain(text: str) -> str:
    """Return text with every sign escaped that Markdown would read as markup."""
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in " ".join(text.split()))


def counted(number: int, thing: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
