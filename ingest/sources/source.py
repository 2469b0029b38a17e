"""The protocol of sources: what the pipeline asks of anything that a document can be read from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ragkit.core.protocols import Loader
from ragkit.core.types import Document, Metadata

WEB_ORIGIN = "web:"
"""The beginning of the origins of web pages."""
CODE_ORIGIN = ""
"""The origin of documents that were made in code, without a named source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCall:
    """The loading of a document from bytes that were read: here when called, or elsewhere."""

    loader: Loader
    data: bytes
    uri: str

    def __call__(self) -> Document:
        """Load it in this process."""
        return self.loader.load(self.data, uri=self.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSource:
    """A source's content at one moment.

    Attributes:
        content_hash: Of the content; equal hashes mean equal content.
        identity: Everything beside the content that shapes the document, such as the loader.
        stamp: Size and times of the file, empty where they cannot prove that it is unchanged.
        load: Makes a document of the content; raises `InputError` where that is impossible. A
            `LoadCall` may be made in another process.
    """

    content_hash: str
    identity: str
    stamp: str = ""
    load: Callable[[], Document]


class DocumentSource(Protocol):
    """Something that a document can be read from."""

    @property
    def uri(self) -> str:
        """The document's name in the index."""
        ...

    @property
    def origin(self) -> str:
        """The place that it belongs to; a sync deletes only documents of its own origins."""
        ...

    def accepts(self, identity: str) -> bool:
        """Return whether an identity of earlier would be the same today, for the same content."""
        ...

    def added_metadata(self) -> Metadata:
        """Return what is added to the document's own metadata."""
        ...

    def stamp(self) -> str:
        """Return the present stamp without reading the content; see `OpenedSource`."""
        ...

    def aliases(self) -> "Sequence[DocumentSource]":
        """Return the same document under the other names that an earlier run may have used."""
        ...

    def open(self) -> OpenedSource:
        """Read the content.

        Raises:
            InputError: It cannot be read.
        """
        ...


@runtime_checkable
class ConditionalSource(DocumentSource, Protocol):
    """A document whose place says, when it is asked for it, that it has not changed."""

    def open_if_changed(self, stamp: str) -> OpenedSource | None:
        """Read the content, or return None where it is that of a stamp of earlier.

        Raises:
            InputError: It cannot be read.
        """
        ...


def kept_origin(source: DocumentSource, stored: str) -> str:
    """Return the origin of a source that is stored: of a web page the one that it came from first.

    The uri of a web page is its address, whichever list named it.
    """
    both = stored.startswith(WEB_ORIGIN) and source.origin.startswith(WEB_ORIGIN)
    return stored if both else source.origin


def origin_text(origin: str) -> str:
    """Return an origin in words, for messages."""
    kind, _, name = origin.partition(":")
    words = {
        "folder": f"the folder {name!r}",
        "named": f"the source {name!r}",
        "documents": f"the documents of {name!r}",
        "storage": f"the store {name!r}",
        "sql": f"the rows of {name!r}",
        "git": f"the repository {name!r}",
        "web": f"the web pages of {name!r}" if name else "web pages",
    }
    return words.get(kind, "documents made in code")
