"""Source code: the text as it is, in blocks that begin where a line is not indented."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import Span, blocks_over
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import path_of

# A definition, with what stands right above it: comments, decorators, attributes.
_START = re.compile(r"(?:^|(?<=\n)[ \t]*\n)(?=[^\s})\]])")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCodeLoader(EncodedLoader):
    """A loader of programs and settings in any language.

    `encoding` applies where the file has no byte order mark.
    """

    version = "source-code-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Decode the text, and divide it where a line after a blank one is not indented.

        Raises:
            InputError: The file is empty, binary or in another encoding.
        """
        text = decode_text(data, uri=uri, encoding=self.encoding)
        return Document(
            uri=uri,
            title=path_of(uri).rpartition("/")[2] or uri,
            text=text,
            blocks=blocks_over(text, _spans(text)),
            content_hash=content_hash(data),
        )


def _spans(text: str) -> Iterator[Span]:
    starts = [0, *(match.end() for match in _START.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        if start < end:
            yield Span("code", start, end)
