"""The texts of a mail: which of its parts are read, and in which order."""

from email.message import EmailMessage

import pytest

from ragkit.ingest.loaders import loader_for


def texts(source: str) -> list[str]:
    """Return the texts of the blocks after the subject."""
    document = loader_for(".eml").load(f"Subject: s\n{source}".encode(), uri="a.eml")
    return [block.text for block in document.blocks][1:]


def multipart(subtype: str, *parts: str) -> str:
    """Return a part that holds others, each with its type, a blank line, and its text."""
    mark = f"b{abs(hash(parts))}"
    inner = "".join(f"--{mark}\nContent-Type: {part}\n" for part in parts)
    return f'multipart/{subtype}; boundary="{mark}"\n\n{inner}--{mark}--\n'


PICTURE = 'image/png; name="p.png"\n\nx'


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("text/plain\n\none", PICTURE, "text/plain\n\ntwo"), ["one", "two"]),
        (("text/html\n\n<p>one", PICTURE, "text/html\n\n<p>two"), ["one", "two"]),
        (("text/html\n\n<p>one", PICTURE, "text/plain\n\nfooter"), ["one", "footer"]),
        (("text/plain\n\none", PICTURE, "text/markdown\n\n# Head"), ["one", "# Head"]),
        ((PICTURE, "text/x-notes\n\none"), ["one"]),
    ],
)
def test_every_text_of_a_mail_is_read_before_its_attachments(
    parts: tuple[str, ...], expected: list[str]
) -> None:
    mail = f"Content-Type: {multipart('mixed', *parts)}"
    assert texts(mail) == [*expected, "Attachment: p.png"]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("text/plain\n\nplain", "text/html\n\n<p>html"), ["plain"]),
        (("text/html\n\n<p>html", "text/plain\n\nplain"), ["plain"]),
        (("text/plain\n\n \t\n", "text/html\n\n<p>html"), ["html"]),
        (("text/plain; charset=utf-8\n\n\xa0\n", "text/html\n\n<p>html"), ["html"]),
        (("text/plain\n\n\n", "text/markdown\n\nnotes"), ["notes"]),
        (("text/plain\n\n\n", "text/html\n\n"), []),
        (
            ("text/plain\n\nplain", multipart("related", "text/html\n\n<p>html", PICTURE)),
            ["plain", "Attachment: p.png"],
        ),
        (
            ("text/plain\n\n\n", multipart("mixed", "text/html\n\n1", PICTURE, "text/html\n\n2")),
            ["1", "2", "Attachment: p.png"],
        ),
    ],
)
def test_one_alternative_is_read_that_is_not_blank(
    parts: tuple[str, ...], expected: list[str]
) -> None:
    assert texts(f"Content-Type: {multipart('alternative', *parts)}") == expected


@pytest.mark.parametrize("subtype", ["markdown", "x-notes", "plain; name=body.txt"])
def test_a_single_text_of_any_type_is_the_body(subtype: str) -> None:
    assert texts(f"Content-Type: text/{subtype}\n\nThe body.") == ["The body."]


def test_a_text_with_a_name_is_an_attachment() -> None:
    message = EmailMessage()
    message["Subject"] = "s"
    message.set_content("Body.")
    message.add_attachment("Notes.", filename="notes.txt", disposition="inline")
    document = loader_for(".eml").load(bytes(message), uri="a.eml")
    assert [block.text for block in document.blocks][1:] == [
        "Body.",
        "Attachment: notes.txt",
        "Notes.",
    ]


@pytest.mark.timeout(20)
def test_alternatives_in_alternatives_take_no_time() -> None:
    part = "text/plain\n\ndeep"
    for level in range(40):
        part = multipart("alternative", part, f"text/html\n\n<p>{level}")
    assert texts(f"Content-Type: {part}") == ["deep"]
