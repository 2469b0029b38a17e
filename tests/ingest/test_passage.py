"""Passages as they are embedded: under their header, which has its own share of the window."""

from ragkit.core.types import Chunk
from ragkit.ingest.passage import HEADER_TOKENS, passage_text
from ragkit.testing.embedder import WordTokenizer

TOKENIZER = WordTokenizer(max_tokens=256)


def chunk(title: str = "", *path: str) -> Chunk:
    return Chunk(id="c", uri="u", title=title, text="the text", start=0, end=8, heading_path=path)


def test_a_passage_stands_under_title_and_headings() -> None:
    passage = passage_text(chunk("Lives", "Tesla", "Youth"), TOKENIZER)
    assert passage == "Lives > Tesla > Youth\n\nthe text"


def test_a_passage_without_title_and_headings_is_its_text() -> None:
    assert passage_text(chunk(), TOKENIZER) == "the text"


def test_a_long_header_is_cut_to_its_share_and_the_text_is_not() -> None:
    words = [f"word{number}" for number in range(2 * HEADER_TOKENS)]
    header, _, text = passage_text(chunk(" ".join(words)), TOKENIZER).partition("\n\n")
    assert header.split() == words[:HEADER_TOKENS]
    assert text == "the text"
