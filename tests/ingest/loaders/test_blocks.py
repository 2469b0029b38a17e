"""Blocks: exact offsets over a source text, and over a text that is built from them."""

from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.loaders.blocks import Span, TextBuilder, blocks_over

TEXTS = st.text(alphabet="ab \n\t\u00a0", max_size=40)


@given(TEXTS, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_everything_but_white_space_lies_in_exactly_one_block(
    text: str, places: list[tuple[int, int]]
) -> None:
    edges = sorted((min(a, b, len(text)), min(max(a, b), len(text))) for a, b in places)
    position = 0
    for block in blocks_over(text, [Span("list", start, end) for start, end in edges]):
        assert position <= block.start
        assert not text[position : block.start].strip()
        assert block.text == text[block.start : block.end] == block.text.strip()
        position = block.end
    assert not text[position:].strip()


def test_text_between_spans_becomes_paragraphs() -> None:
    blocks = blocks_over("before\n# Head\nafter", [Span("heading", 7, 13, 1)])
    assert [(block.kind, block.level, block.text) for block in blocks] == [
        ("paragraph", 0, "before"),
        ("heading", 1, "# Head"),
        ("paragraph", 0, "after"),
    ]


def test_code_keeps_the_indentation_of_its_first_line() -> None:
    (block,) = blocks_over("\n    x = 1\n", [Span("code", 0, 11)])
    assert (block.kind, block.text) == ("code", "    x = 1")


@given(st.lists(TEXTS, max_size=8))
def test_a_built_text_is_its_blocks_joined_by_blank_lines(texts: list[str]) -> None:
    builder = TextBuilder()
    for page, text in enumerate(texts, start=1):
        builder.append("paragraph", text, page=page)
    kept = [text.strip() for text in texts if text.strip()]
    assert builder.text == "\n\n".join(kept)
    assert [block.text for block in builder.blocks] == kept
    for block in builder.blocks:
        assert builder.text[block.start : block.end] == block.text
