"""The messages between an ingestion and the processes that load its documents.

A message is two lengths of 8 bytes, a header and a body. A request's header is the pickled loader
and the uri, its body the file. An answer comes from a process that has read a hostile file: its
header is JSON, which runs nothing, and its body the document's text.
"""

import json
import pickle
import struct
from collections.abc import Mapping, Sequence
from typing import IO, cast

from ragkit.core.errors import ConfigError, InputError, MissingExtraError, RagkitError
from ragkit.core.types import Block, BlockKind, Document
from ragkit.ingest.sources.source import LoadCall

LENGTHS = struct.Struct(">QQ")
LONGEST = 2**30
"""Bytes of an answer's header and body; a longer one is not read."""
MEMORY = "memory"
"""The key of an answer that says that the memory did not suffice."""


def request_message(call: LoadCall) -> bytes:
    """Return the first part of a request; the file's bytes follow it."""
    header = pickle.dumps((call.loader, call.uri))
    return LENGTHS.pack(len(header), len(call.data)) + header


def read_request(stream: IO[bytes]) -> LoadCall | None:
    """Read a request, None at the end of the stream."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    loader, uri = pickle.loads(stream.read(head))
    return LoadCall(loader=loader, data=stream.read(body), uri=uri)


def write_answer(stream: IO[bytes], header: Mapping[str, object], text: str = "") -> None:
    """Write an answer: the header is made by `document_header` or `failure_header`."""
    head = json.dumps(header).encode()
    body = text.encode("utf-8", "surrogatepass")
    stream.write(LENGTHS.pack(len(head), len(body)) + head)
    stream.write(body)
    stream.flush()


def document_header(document: Document) -> dict[str, object]:
    """Return the header for a document; the body is its text, of which its blocks are spans."""
    blocks = [(one.kind, one.start, one.end, one.level, one.page) for one in document.blocks]
    return {
        "uri": document.uri,
        "title": document.title,
        "metadata": dict(document.metadata),
        "content_hash": document.content_hash,
        "blocks": blocks,
    }


def failure_header(error: Exception) -> dict[str, object]:
    """Return the header for what a loader raised."""
    if isinstance(error, MissingExtraError):
        return {"error": "MissingExtraError", "arguments": [error.module, error.extra]}
    kind = "ConfigError" if isinstance(error, ConfigError) else "InputError"
    is_own = isinstance(error, RagkitError)
    message = str(error) if is_own else f"{type(error).__name__}: {error}"
    return {"error": kind, "arguments": [message]}


def document_of(fields: Mapping[str, object], body: bytes) -> Document:
    """Return the document of an answer, by the fields of its header.

    Raises:
        InputError: The loader failed over the document.
        ConfigError: The loader needs another setting.
        MissingExtraError: The loader needs a package that is not installed.
        ValueError: The answer is none that `write_answer` writes.
    """
    try:
        return _document(fields, body.decode("utf-8", "surrogatepass"))
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError("The answer has another form.") from error


def _document(fields: Mapping[str, object], text: str) -> Document:
    if (kind := fields.get("error")) is not None:
        raise _failure(str(kind), cast("Sequence[str]", fields["arguments"]))
    metadata = cast("dict[str, str | int | float | bool | list[str]]", fields["metadata"])
    blocks = tuple(
        Block(kind=kind, start=start, end=end, level=level, page=page, text=text[start:end])
        for kind, start, end, level, page in cast(
            "list[tuple[BlockKind, int, int, int, int | None]]", fields["blocks"]
        )
    )
    return Document(
        uri=cast("str", fields["uri"]),
        title=cast("str", fields["title"]),
        text=text,
        blocks=blocks,
        metadata={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in metadata.items()
        },
        content_hash=cast("str", fields["content_hash"]),
    )


def _failure(kind: str, arguments: Sequence[str]) -> RagkitError:
    if kind == "MissingExtraError":
        module, extra = arguments
        return MissingExtraError(module, extra=extra)
    return (ConfigError if kind == "ConfigError" else InputError)(arguments[0])
