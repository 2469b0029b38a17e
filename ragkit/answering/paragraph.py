"""The sentences of a paragraph, and the questions that it begins with."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.answering.markup import PlainText
from ragkit.core.text import sentences

_QUESTION_MARKS = ("?", "\uff1f", "\u061f")
_EMPHASIS = re.compile(
    r"[ \t>]*(?:\*\*|__|<(?:b|strong)>|Q(?:uestion)?[ \t]*\d*[ \t]*[:.)])", re.IGNORECASE
)
_ASKED = re.compile(r"Q(?:uestion)?[ \t]*\d*[ \t]*[:.)][ \t]*", re.IGNORECASE)
_REPLY = re.compile(
    r"[ \t>*_-]*(?:A(?:nswer)?[ \t]*:[ \t]*)?(?:yes|yep|no|nope|not|never|always|sure|only|both|"
    r"neither|either|currently|unfortunately|absolutely|of course|it depends|for now|by default)\b",
    re.IGNORECASE,
)
_ANSWERED = re.compile(r"A(?:nswer)?[ \t]*:[ \t]*", re.IGNORECASE)


def asks(text: str) -> bool:
    """Return True for a text that ends as a question."""
    return text.endswith(_QUESTION_MARKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence in a source: `source[start:end]`, and its plain text."""

    start: int
    end: int
    plain: PlainText

    @property
    def text(self) -> str:
        """Its plain text."""
        return self.plain.text


def sentences_of(
    plain: PlainText, source_span: tuple[int, int], source: str, language: str
) -> Iterator[Sentence]:
    """Yield the sentences of a paragraph, whose plain text and place in the source are given."""
    spans: list[tuple[int, int]] = []
    for start, end in sentences(plain.text, language=language):
        cut = spans and any(first < start < last for first, last in plain.units)
        spans = [*spans[:-1], (spans[-1][0], end)] if cut else [*spans, (start, end)]
    edge = source_span[0]
    for number, (start, end) in enumerate(spans):
        last = source_span[1]
        following = last
        if number + 1 < len(spans):
            gap_start, gap_end = plain.offsets[end - 1] + 1, plain.offsets[spans[number + 1][0]]
            gap = source[gap_start:gap_end]
            parts = re.split(r"\s", gap)
            last = gap_start + len(parts[0])
            following = gap_end - len(parts[-1]) if len(parts) > 1 else last
        yield Sentence(start=edge, end=last, plain=_part(plain, start, end))
        edge = following


def question_before(found: Sequence[Sentence]) -> tuple[str, int]:
    """Return the question that a paragraph begins with, and of how many sentences it is.

    It is empty for a paragraph that begins with a statement.
    """
    count = next((at for at, one in enumerate(found) if not asks(one.text)), len(found))
    return _ASKED.sub("", " ".join(one.text for one in found[:count]), count=1), count


def is_set_off(source: str) -> bool:
    """Return True for a paragraph that begins in bold or with `Q:`, as a question of a list."""
    return bool(_EMPHASIS.match(source))


def is_reply(source: str) -> bool:
    """Return True for a text that begins as the reply to a question does: yes, no, not yet."""
    return bool(_REPLY.match(source))


def without_label(sentence: Sentence) -> Sentence:
    """Return a sentence without the `A:` before it."""
    label = _ANSWERED.match(sentence.text)
    if label is None or label.end() == len(sentence.text):
        return sentence
    start = label.end()
    plain = _part(sentence.plain, start, len(sentence.text))
    return Sentence(start=sentence.plain.offsets[start], end=sentence.end, plain=plain)


def _part(plain: PlainText, start: int, end: int) -> PlainText:
    units = tuple((a - start, b - start) for a, b in plain.units if start <= a and b <= end)
    return PlainText(text=plain.text[start:end], offsets=plain.offsets[start:end], units=units)
