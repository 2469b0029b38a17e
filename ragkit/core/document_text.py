"""The text of a document, put together from its chunks."""

from collections.abc import Sequence

from ragkit.core.types import Chunk


def text_of(chunks: Sequence[Chunk]) -> str:
    """Return the text that the chunks of one document cover, their overlap once.

    Offsets of chunks and citations hold in it: what no chunk covers is white space.

    Args:
        chunks: All chunks, in the order of their `start`.
    """
    text = ""
    for chunk in chunks:
        if chunk.start > len(text):
            text += "\n".rjust(chunk.start - len(text))
        text += chunk.text[len(text) - chunk.start :]
    return text
