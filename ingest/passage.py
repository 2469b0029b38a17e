"""The text of a passage as it is embedded: its header, cut to its share of the window, and it."""

from ragkit.core.protocols import Tokenizer
from ragkit.core.text import may_exceed
from ragkit.core.types import Chunk

HEADER_TOKENS = 40
"""Room that every chunk leaves for its header (title and headings) in the model's window."""


def passage_text(chunk: Chunk, tokenizer: Tokenizer) -> str:
    """Return the text to embed for a chunk: its header, cut to HEADER_TOKENS, and its text."""
    header = header_text(chunk, tokenizer)
    return f"{header}\n\n{chunk.text}" if header else chunk.text


def header_text(chunk: Chunk, tokenizer: Tokenizer) -> str:
    """Return the header of a chunk, cut to HEADER_TOKENS."""
    header = chunk.header
    if may_exceed(header, HEADER_TOKENS):
        starts = tokenizer.token_starts(header)
        header = header[: starts[HEADER_TOKENS]] if len(starts) > HEADER_TOKENS else header
    return header
