import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.markup import PlainText, is_literal, plain_text, verbatim_text

_PIECES = st.sampled_from(
    [
        "word", "two words", "snake_case", "2 * 3", "x[0]", "**bold**", "*em*", "_em_", "`code`",
        "[link](https://e.org/a_(b))", "[ref][r]", "[`open()`][]", "![image](i.png)", "<br/>",
        "&amp;", "~~gone~~", "``two``", ":role:`text`", "`site <https://e.org>`_", "**a *b* c**",
        "<https://e.org>", "{ #anchor }", "[^1]", "(", ")", ".", ",", "é", "日本", "\n",
    ]
)  # fmt: skip
_MARKUP = re.compile(r"\*\*|\]\(|\]\[|``|<br|&amp;|\{ #|!\[|~~|:role:|\[\^")


def _plain(source: str) -> PlainText:
    return plain_text(source, 0, len(source))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("HTTPX will **not** follow redirects.", "HTTPX will not follow redirects."),
        ("reasonable [timeouts](advanced/timeouts.md) apply", "reasonable timeouts apply"),
        (
            "see [timeouts][t], [`open()`][] and [Keep a Log].",
            "see timeouts, open() and Keep a Log.",
        ),
        ("## CORS { #cors }", "## CORS"),
        ("[![badge](b.svg)](https://e.org) Text", "Text"),
        ("A &amp; B &lt;x&gt;<br>c <b>d</b>", "A & B <x> c d"),
        ("Use :class:`~pkg.mod.Name` and ``a *b*``::", "Use Name and a *b*:"),
        ("the `manual <https://e.org>`_ says", "the manual says"),
        (
            "call `Schema.load <marshmallow.Schema.load>`, not `a <b>`",
            "call Schema.load, not a <b>",
        ),
        (r"an escaped \* star", "an escaped * star"),
        ("one\nline\\\nnext", "one line next"),
        ("quoted\n> text", "quoted text"),
        ("it's **the *best* thing**", "it's the best thing"),
        ("cut **in the Middle", "cut in the Middle"),
    ],
)
def test_markup_is_removed(source: str, text: str) -> None:
    assert _plain(source).text == text


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4", "snake_case_name", "__init__", "func(*args, **kwargs)", "a[0] and [1, 2]",
        "Vec<T> and <thinking>", "pip install httpx[http2]", "2**3**4", "AT&T",
    ],
)  # fmt: skip
def test_what_only_resembles_markup_stays(text: str) -> None:
    assert _plain(text).text == text


def test_a_literal_text_keeps_everything_but_line_breaks() -> None:
    source = "2 **3** [x](y)\nand `z`"
    assert plain_text(source, 0, len(source), literal=True).text == "2 **3** [x](y) and `z`"


def test_formats_without_markup_are_literal_by_their_extensions() -> None:
    for uri in ("a.html", "b.PDF", "c.csv", "d.XLSX", "x.zip!/e.docx", "f.epub"):
        assert is_literal(uri)
    for uri in (
        "https://x.org",
        "https://x.org/a.php?b=c.md",
        "http://x.md?a",
        "http://[",
        "http://",
    ):
        assert is_literal(uri)
    for uri in ("a.md", "b", "c.rst", "d.csv.md", "https://x.org/README.md?raw=1"):
        assert not is_literal(uri)


def test_a_span_is_widened_to_whole_words_links_and_emphasis() -> None:
    plain = _plain("Use [the client's API](x) or **very bold** text, snake_case too.")
    at = plain.text.index("client")
    start, end = plain.snapped(at, at + 3)
    assert plain.text[start:end] == "the client's API"
    at = plain.text.index("bold")
    start, end = plain.snapped(at, at + len("bold text"))
    assert plain.text[start:end] == "very bold text"
    at = plain.text.index("case")
    start, end = plain.snapped(at, at + 2)
    assert plain.text[start:end] == "snake_case"


def test_code_loses_its_common_indentation_and_keeps_its_lines() -> None:
    source = "    if x:\n        y()\n\n    z()\n"
    plain = verbatim_text(source, 0, len(source))
    assert plain.text == "if x:\n    y()\n\nz()"
    assert all(source[at] == sign for at, sign in zip(plain.offsets, plain.text, strict=True))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a = f(1)\n    b = g(a)\n    return b", "a = f(1)\nb = g(a)\nreturn b"),
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("one line", "one line"),
    ],
)
def test_code_cut_from_an_indented_block_is_aligned(source: str, text: str) -> None:
    assert verbatim_text(source, 0, len(source)).text == text


@given(st.lists(_PIECES, max_size=12))
def test_text_is_free_of_markup_and_offsets_are_exact(pieces: list[str]) -> None:
    source = " ".join(pieces)
    plain = _plain(source)
    assert not _MARKUP.search(plain.text)
    assert list(plain.offsets) == sorted(plain.offsets)
    assert len(plain.offsets) == len(plain.text)
    for at, sign in zip(plain.offsets, plain.text, strict=True):
        assert source[at] == sign or sign == " " or source[at] == "&"


@given(st.lists(_PIECES, max_size=12), st.data())
def test_a_snapped_span_divides_no_unit(pieces: list[str], data: st.DataObject) -> None:
    plain = _plain(" ".join(pieces))
    start = data.draw(st.integers(0, len(plain.text)))
    end = data.draw(st.integers(start, len(plain.text)))
    first, last = plain.snapped(start, end)
    assert first <= start
    assert end <= last
    for low, high in plain.units:
        assert last <= low or high <= first or (first <= low and high <= last)


@given(st.text(alphabet="ab *_`[]()<>!&;#\n\\:{}~", max_size=60))
def test_any_text_can_be_read(source: str) -> None:
    plain = _plain(source)
    assert len(plain.text) == len(plain.offsets)
    assert all(0 <= at < len(source) for at in plain.offsets)
