"""The text of a passage as it is embedded: its lead, cut to its share of the window, and it."""

from ragkit.core.protocols import Tokenizer
from ragkit.core.text import may_exceed
from ragkit.core.types import Chunk

HEADER_TOKENS = 40
"""Room that every chunk leaves for its header (title and headings) in the model's window."""


def passage_text(chunk: Chunk, tokenizer: Tokenizer) -> str:
    """Return the text to embed for a chunk: its lead, cut to its share, and its text."""
    lead = lead_text(chunk, tokenizer)
    return f"{lead}\n\n{chunk.text}" if lead else chunk.text


def lead_text(chunk: Chunk, tokenizer: Tokenizer) -> str:
    """Return the lead of a chunk, cut to HEADER_TOKENS.

    One with a line about the passage may have all that the passage leaves of the window.
    """
    lead, room = chunk.lead, HEADER_TOKENS
    if not may_exceed(lead, room):
        return lead
    starts = tokenizer.token_starts(lead)
    if chunk.context is not None:
        room = max(room, tokenizer.max_tokens - len(tokenizer.token_starts(chunk.text)))
    return lead[: starts[room]] if len(starts) > room else lead
