"""Messages of worker processes: what is loaded there is what would be loaded here."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document, InputError
from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.core.types import Block
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.message import (
    LENGTHS,
    document_header,
    document_of,
    failure_header,
    read_request,
    request_message,
    write_answer,
)

VALUES = st.one_of(
    st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False),
    st.lists(st.text()).map(tuple),
)  # fmt: skip
TEXTS = st.text(st.characters(blacklist_categories=()))  # with halves of surrogate pairs


def _sent(document: Document) -> Document:
    stream = io.BytesIO()
    write_answer(stream, document_header(document), document.text)
    written = stream.getvalue()
    head, body = LENGTHS.unpack_from(written)
    header = written[LENGTHS.size : LENGTHS.size + head]
    assert len(written) == LENGTHS.size + head + body
    return document_of(json.loads(header), written[LENGTHS.size + head :])


@given(TEXTS, TEXTS, st.dictionaries(st.text(), VALUES))
def test_a_document_arrives_as_it_was_sent(
    text: str, title: str, metadata: dict[str, str | int | float | bool | tuple[str, ...]]
) -> None:
    half = len(text) // 2
    blocks = (
        Block(kind="heading", start=0, end=half, level=2, page=3, text=text[:half]),
        Block(kind="table", start=half, end=len(text), text=text[half:]),
    )
    document = Document(
        uri="ü", title=title, text=text, blocks=blocks, metadata=metadata, content_hash="h"
    )
    found = _sent(document)
    assert found == document
    assert [type(value) for value in found.metadata.values()] == [
        type(value) for value in metadata.values()
    ]


def test_a_request_arrives_as_it_was_sent() -> None:
    calls = [
        LoadCall(loader=MarkdownLoader(encoding="latin-1"), data=data, uri="a/ü.md")
        for data in (b"", b"\x00" * 1000)
    ]
    stream = io.BytesIO(b"".join(request_message(call) + call.data for call in calls))
    assert [read_request(stream) for _ in calls] == calls
    assert read_request(stream) is None


@pytest.mark.parametrize(
    "error",
    [
        InputError("'a' is empty"),
        ConfigError("No such encoding."),
        MissingExtraError("pytesseract", extra="ocr"),
    ],
)
def test_an_error_of_ragkit_arrives_as_it_was_raised(error: Exception) -> None:
    with pytest.raises(type(error)) as found:
        document_of(failure_header(error), b"")
    assert str(found.value) == str(error)


def test_another_error_arrives_with_its_type() -> None:
    with pytest.raises(InputError, match=r"^KeyError: 'x'$"):
        document_of(failure_header(KeyError("x")), b"")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"uri": "a", "title": "b", "metadata": [], "content_hash": "", "blocks": []},
        {"uri": "a", "title": "b", "metadata": {}, "content_hash": "", "blocks": [1]},
        {"error": "InputError"},
    ],
)
def test_an_answer_of_another_form_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another form"):
        document_of(fields, b"text")


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="another form"):
        document_of(document_header(Document.from_text("", uri="a")), b"\xff")
