"""HTML: what a reader sees of a page's content, block by block."""

import pytest

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders import HtmlLoader
from ragkit.ingest.loaders.html.depth import limit_depth


def load(html: str, uri: str = "my-page.html") -> Document:
    return HtmlLoader().load(html.encode(), uri=uri)


def blocks(html: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in load(html).blocks]


def test_blocks_are_joined_by_blank_lines() -> None:
    document = load("<h2>A  <em>head</em>ing</h2><p>One\n two</p>loose<div>in <b>div</b></div>")
    assert document.text == "A heading\n\nOne two\n\nloose\n\nin div"
    assert [(block.kind, block.level) for block in document.blocks] == [
        ("heading", 2), ("paragraph", 0), ("paragraph", 0), ("paragraph", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "dropped",
    [
        "<script>x</script>", "<style>x</style>", "<noscript>x</noscript>", "<nav>x</nav>",
        "<template>x</template>", "<svg><text>x</text></svg>", "<footer>x</footer>",
        "<aside>x</aside>", "<form>x</form>", "<iframe>x</iframe>", "<div hidden>x</div>",
        "<div aria-hidden='TRUE'>x</div>", "<!-- x -->", "<button>x</button>",
        "<div role=navigation><ul><li>x</ul></div>",
    ],
)  # fmt: skip
def test_what_is_no_content_is_dropped(dropped: str) -> None:
    assert blocks(f"<p>a</p>{dropped}<p>b</p>") == [("paragraph", "a"), ("paragraph", "b")]


def test_the_sign_that_links_to_a_heading_is_not_part_of_it() -> None:
    html = "<h2>Use<a href='#use'>#</a></h2><p>See <a href='#a'>#1</a> <a href='x'>#</a></p>"
    assert blocks(html) == [("heading", "Use"), ("paragraph", "See #1 #")]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("x<main>m</main>y", "m"),
        ("x<article>the page</article>y", "the page"),
        ("the page<article>a card</article>", "the page\n\na card"),
        ("x<aside><article>a long card</article></aside>", "x"),
        ("x<div role=navigation><article>a long card</article></div>", "x"),
        ("x<div hidden><article>a long card</article></div>", "x"),
        ("x<article hidden>a long card</article>", "x"),
        ("<form>x<article>the page</article></form>", "the page"),
        ("x<article>a</article><article>b</article>", "x\n\na\n\nb"),
        ("x<main> </main>y", "x\n\ny"),
        ("x<main hidden>m</main>", "x"),
        ("<form><p>all in a form</p></form>", "all in a form"),
    ],
)
def test_the_main_content_is_preferred(html: str, text: str) -> None:
    assert load(html).text == text


def test_lists_are_lines_with_markers() -> None:
    html = "<ul><li>a<li><p>b</p><p>more</p><ol start=3><li>c<br>d<li>e</ol><li>f</ul>"
    expected = "- a\n- b\n  more\n  3. c\n    d\n  4. e\n- f"
    assert blocks(html) == [("list", expected)]


def test_definitions_are_a_list() -> None:
    assert blocks("<dl><dt>Term<dd>Meaning<dt>Other<dd>More</dl>") == [
        ("list", "- Term\n  Meaning\n- Other\n  More")
    ]


def test_code_and_headings_inside_a_list_are_blocks_of_their_own() -> None:
    assert blocks("<ol><li>Run<pre>x = 1</pre><li>Then<h3>Head</h3>text</ol>") == [
        ("list", "1. Run"),
        ("code", "x = 1"),
        ("list", "2. Then"),
        ("heading", "Head"),
        ("list", "text"),
    ]


def test_table_rows_are_lines_with_bars() -> None:
    html = (
        "<table><caption>Sizes</caption><thead><tr><th>Name<th>Size</thead>"
        "<tr><td>a<br>b<td><p>1</p><p>2</p><tr><td><td>3<tr><td><td></table>"
    )
    assert blocks(html) == [("paragraph", "Sizes"), ("table", "Name | Size\na b | 1 2\n| 3")]


def test_tables_for_layout_are_read_as_blocks() -> None:
    html = "<table><tr><td><h1>Head</h1>text<td><table><tr><td>a<td>b</table></table>"
    assert blocks(html) == [("heading", "Head"), ("paragraph", "text"), ("table", "a | b")]


def test_preformatted_text_keeps_its_white_space() -> None:
    html = (
        "<pre><code>  def f():\n      <b>return</b> 1\n\n</code><br>x<div>y</div><div>z</div></pre>"
    )
    assert blocks(html) == [("code", "  def f():\n      return 1\n\n\nxy\nz")]


def test_elements_of_code_beside_each_other_are_lines() -> None:
    assert blocks("<pre><code>a = 1</code><code>b = 2\n</code><code>c</code></pre>") == [
        ("code", "a = 1\nb = 2\nc")
    ]
    inline = "<pre><code>a</code> <code>b</code>, <b><code>c</code><code>d</code></b></pre>"
    assert blocks(inline) == [("code", "a b, cd")]


def test_white_space_and_entities_are_as_in_a_browser() -> None:
    html = "<p> a\n\t b<b> c</b> d&nbsp;&amp;&lt;e&gt;<br> f so&shy;ft &eacute;</p>"
    assert blocks(html) == [("paragraph", "a b c d &<e>\nf soft é")]


def test_a_quotation_is_a_paragraph() -> None:
    assert blocks("a<blockquote>q</blockquote>b")[1] == ("paragraph", "q")


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title> The \n page </title><h1>Head</h1>", "The page"),
        ("<svg><title>icon</title></svg><h2>Second</h2><h1>First</h1>", "First"),
        ("<h2>__init__ only</h2>", "__init__ only"),
        ("<p>text</p>", "my page"),
    ],
)
def test_the_title_comes_from_the_head_a_heading_or_the_name(html: str, title: str) -> None:
    assert load(html).title == title


def test_metadata_comes_from_meta_elements_and_the_language() -> None:
    document = load(
        "<html lang='en-GB'><meta name=Description content=' About\n us '>"
        "<meta name=author content=Ann><meta name=keywords content='a, b,,c'>"
        "<meta name=date content=2024-05-01>"
        "<meta name=viewport content=x><meta name=author content=Bob><p>text"
    )
    assert document.metadata == {
        "description": "About us",
        "author": "Ann",
        "keywords": ("a", "b", "c"),
        "date": "2024-05-01",
        "lang": "en-GB",
    }


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ("<meta charset=iso-8859-1>", "cp1252"),
        ("<META http-equiv=Content-Type content='text/html; charset=Shift_JIS'>", "cp932"),
        ("<?xml version='1.0' encoding='koi8-r'?>", "koi8-r"),
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=nonsense>", "utf-8"),
        ("<meta charset=unicode_escape>", "utf-8"),
    ],
)
def test_the_declared_encoding_is_used_as_browsers_do(head: str, codec: str) -> None:
    word = {"cp932": "日本", "koi8-r": "Привет"}.get(codec, "“é”")
    data = f"{head}<p>{word}</p>".encode(codec)
    assert HtmlLoader().load(data, uri="a").text == word


def test_a_byte_order_mark_wins_over_the_declaration() -> None:
    data = "\ufeff<meta charset=koi8-r><p>é".encode()
    assert HtmlLoader().load(data, uri="a").text == "é"


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(InputError, match=r"'a' is not valid utf-8: byte 0xe9 .*declares"):
        HtmlLoader().load("<meta charset=utf-8><p>é".encode("latin-1"), uri="a")


@pytest.mark.parametrize("html", ["<script>app()</script><div id=root></div>", "<title>x</title>"])
def test_a_page_that_shows_no_text_is_refused(html: str) -> None:
    with pytest.raises(InputError, match=r"'my-page\.html' shows no text"):
        load(html)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "deep" + "</div>" * 100_000 + "<h1>Head</h1>",
        "<ul><li>" * 100_000 + "deep",
        "<!--><svg><style>" + "<div>" * 100_000 + "deep",
        "<table><tr><td>" * 30_000 + "deep",
        "<b><p>" * 30_000 + "deep",
    ],
    ids=["div", "list", "hidden in an svg", "table", "formatting"],
)
@pytest.mark.timeout(60)
def test_hostile_nesting_neither_overflows_nor_hangs(html: str) -> None:
    assert "deep" in load(html).text


def test_structure_after_deep_nesting_is_kept() -> None:
    html = "<div>" * 1000 + "a" + "</div>" * 1000 + "<h1>Head</h1><p>b</p>"
    assert blocks(html) == [("paragraph", "a"), ("heading", "Head"), ("paragraph", "b")]


@pytest.mark.parametrize(
    ("html", "limited"),
    [
        ("<div><p>a<br></div><div><p>b</div>", "<div><p>a<br></div><div><p>b</div>"),
        ("<div><i><b><u>a</u></b></i>b</div>", "<div><i><b>a</b></i>b</div>"),
        ("<i><i><i></i></i></i><u>a</u>", "<i><i><i></i></i></i><u>a</u>"),
        ("<!-- <a><a><a><a> --><div>x", "<!-- <a><a><a><a> --><div>x"),
        ("<script>'<a><a><a><a>'</script><div>x", "<script>'<a><a><a><a>'</script><div>x"),
        ("<div><i></div><div><i></div><div><i>", "<div><i></div><div><i></div><div><i>"),
    ],
)
def test_only_tags_below_the_limit_are_removed(html: str, limited: str) -> None:
    assert limit_depth(html, limit=3) == limited
