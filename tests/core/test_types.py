import hashlib

import pytest

from ragkit import Chunk, Citation, Document

CHUNK = Chunk(
    id="c",
    uri="a.md",
    title="Rivers",
    text="The Volga is long.",
    start=10,
    end=28,
    heading_path=("Rivers", "Europe"),
    page=3,
    metadata={"year": 2020},
)


def test_a_document_of_a_text_has_hash_and_title() -> None:
    document = Document.from_text("Long rivers.", uri="notes/rivers.md", metadata={"year": 2020})
    assert (document.title, document.text, document.metadata) == (
        "rivers",
        "Long rivers.",
        {"year": 2020},
    )
    assert document.content_hash == hashlib.sha256(b"Long rivers.").hexdigest()


@pytest.mark.parametrize(
    ("uri", "title"),
    [("a", "a"), ("x/.env", ".env"), ("https://site.test/pages/", "pages"), ("a.b.txt", "a.b")],
)
def test_the_title_is_the_uris_last_part_without_extension(uri: str, title: str) -> None:
    assert Document.from_text("x", uri=uri).title == title
    assert Document.from_text("x", uri=uri, title="").title == ""


def test_a_citation_quotes_its_chunk_and_knows_its_place() -> None:
    citation = Citation.of(CHUNK, 4, 9)
    assert (citation.quote, citation.start, citation.end) == ("Volga", 14, 19)
    assert (citation.chunk_id, citation.uri, citation.title) == ("c", "a.md", "Rivers")
    assert (citation.heading_path, citation.page) == (("Rivers", "Europe"), 3)
    assert citation.metadata == {"year": 2020}
