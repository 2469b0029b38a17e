"""Windows of documents: the text that passages are embedded within, for late chunking."""

from collections.abc import Sequence

from ragkit.core.protocols import Tokenizer
from ragkit.core.types import Chunk, TextSpan
from ragkit.ingest.passage import lead_text


def window_spans(chunks: Sequence[Chunk], tokenizer: Tokenizer) -> list[TextSpan]:
    """Return each chunk as a part of its window, in order.

    A window is as many chunks of a document, one after the other, as the model reads together,
    under the lead of the first.
    """
    spans: list[TextSpan] = []
    while len(spans) < len(chunks):
        spans += _window(chunks, len(spans), tokenizer)
    return spans


def _window(chunks: Sequence[Chunk], first: int, tokenizer: Tokenizer) -> list[TextSpan]:
    """Return the chunks of the window that begins with one, as its parts."""
    lead = lead_text(chunks[first], tokenizer)
    lead = f"{lead}\n\n" if lead else ""
    text, ends = lead, list[tuple[int, int]]()
    left = tokenizer.max_tokens - len(tokenizer.token_starts(lead))
    for before, chunk in zip([None, *chunks[first:]], chunks[first:], strict=False):
        if before and not _goes_on(before, chunk):
            break
        repeated = before.end - chunk.start if before else 0
        left -= len(tokenizer.token_starts(chunk.text[repeated:]))
        if before and left < 0:
            break
        text += chunk.text[repeated:]
        ends.append((len(text) - len(chunk.text), len(text)))
    while len(ends) > 1 and len(tokenizer.token_starts(text)) > tokenizer.max_tokens:
        ends.pop()  # more tokens together than one by one
        text = text[: ends[-1][1]]
    return [TextSpan(text, start, end) for start, end in ends]


def _goes_on(before: Chunk, chunk: Chunk) -> bool:
    """Return whether a chunk begins no later than the one before it ends, and ends no earlier."""
    is_next = before.start <= chunk.start <= before.end <= chunk.end
    return chunk.uri == before.uri and is_next
