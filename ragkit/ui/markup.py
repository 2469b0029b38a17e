"""HTML of the parts that Streamlit has no element for; every text of a document is escaped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ragkit.ui.document_text import Segment
from ragkit.ui.stored_answer import StoredAnswer, StoredCitation

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_STAGES: Mapping[str, str] = {
    "condense": "conversation",
    "embed": "embed",
    "search": "search",
    "fusion": "fuse",
    "fetch": "fetch",
    "rerank": "rerank",
    "answer": "answer",
}


def prose(text: str, *, span: tuple[int, int] | None = None) -> str:
    """Return text as HTML that shows it as it is; fenced code as code, a span marked."""
    if span is not None:
        first, last = span
        return f"{escape(text[:first])}<mark>{escape(text[first:last])}</mark>{escape(text[last:])}"
    parts: list[str] = []
    at = 0
    for found in _FENCE.finditer(text):
        parts += [escape(text[at : found.start()]), f"<pre>{escape(found[1])}</pre>"]
        at = found.end()
    return "".join([*parts, escape(text[at:])])


def answer_html(answer: StoredAnswer) -> str:
    """Return an answer with the numbers of its citations behind its text."""
    numbers = "".join(f"<sup>[{cited.number}]</sup>" for cited in answer.citations)
    body = f"{prose(answer.text, span=answer.span)}{numbers}"
    return f'<div class="rk-answer rk-{answer.outcome}">{body}</div>'


def live_html(text: str) -> str:
    """Return an answer that is being written, with a cursor."""
    return f'<div class="rk-answer">{prose(text)}<span class="rk-cursor"></span></div>'


def meta_html(answer: StoredAnswer) -> str:
    """Return one line about an answer: confidence, what answered, time of each stage."""
    parts: list[str] = []
    if answer.outcome in {"answered", "abstained"}:
        parts.append(confidence_html(answer.confidence))
    parts.append(f"<span>{escape(answer.by)}</span>")
    if answer.seconds:
        total = sum(answer.seconds.values())
        stages = " · ".join(
            f"{_STAGES.get(name, name)} {milliseconds(taken)}"
            for name, taken in answer.seconds.items()
        )
        parts.append(f'<span title="{escape(stages)}">{milliseconds(total)}</span>')
        parts.append(f'<span class="rk-stages">{escape(stages)}</span>')
    return f'<div class="rk-meta">{"".join(parts)}</div>'


def confidence_html(confidence: float) -> str:
    """Return a confidence as words, a number and a bar."""
    word = "high" if confidence >= 0.75 else "medium" if confidence >= 0.5 else "low"
    width = round(100 * min(1.0, max(0.0, confidence)))
    return (
        f'<span class="rk-confidence rk-{word}" role="img" '
        f'aria-label="Confidence {confidence:.2f}, {word}">'
        f'<i><b style="width:{width}%"></b></i>{word} confidence, {confidence:.2f}</span>'
    )


def milliseconds(seconds: float) -> str:
    """Return a time in the unit in which it is read best."""
    if seconds < 0.0005:
        return "<1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def citation_line(cited: StoredCitation) -> str:
    """Return a citation's source as one line of text."""
    trail = [part for part in cited.headings if part != cited.title]
    page = [] if cited.page is None else [f"page {cited.page}"]
    return " > ".join([cited.title, *trail, *page])


def passage_html(segments: Iterable[Segment], *, code: bool = False) -> str:
    """Return a document's text with its marked segments."""
    inner = "".join(
        f"<mark>{escape(part.text)}</mark>" if part.marked else escape(part.text)
        for part in segments
    )
    return f'<div class="rk-passage{" rk-code" if code else ""}" tabindex="0">{inner}</div>'


def table_html(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """Return a table of texts; the last `numbers` columns are aligned to the right."""
    first = len(head) - numbers

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=rk-number' if place >= first else ''}>{escape(value)}</{tag}>"
            for place, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="rk-wide"><table class="rk-table"><thead><tr>{cells("th", head)}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )
