"""Uploaded files: kept under the data folder, read as documents with a uri of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.settings import IngestSettings
from ragkit.core.types import Document
from ragkit.ingest.build import build_registry
from ragkit.ingest.report import FailedDocument
from ragkit.ui.source_file import UPLOADS

_LONGEST_NAME = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as the browser sent it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadUploads:
    """Uploads as documents, and those that are none, with reasons."""

    documents: tuple[Document, ...]
    failed: tuple[FailedDocument, ...]


def safe_name(name: str) -> str:
    """Return a file's name without folders.

    Raises:
        InputError: Nothing is left of it, or it is too long.
    """
    kept = PurePosixPath(name.replace("\\", "/")).name.strip().lstrip(".")
    if not kept or "\x00" in kept or len(kept) > _LONGEST_NAME:
        raise InputError(
            f"{name[:60]!r} cannot be the name of a document. Fix: rename the file, with at most "
            f"{_LONGEST_NAME} characters."
        )
    return kept


def read_uploads(
    folder: Path | None, files: Sequence[Upload], settings: IngestSettings
) -> ReadUploads:
    """Read files, and keep them in a folder if one is given, in place of those of their name.

    Of several files of one name, the first that can be read is taken.
    """
    documents: dict[str, Document] = {}
    failed: list[FailedDocument] = []
    for file in files:
        uri = UPLOADS + file.name
        try:
            name = safe_name(file.name)
            uri = UPLOADS + name
            if uri in documents:
                raise InputError(
                    f"Another file of this upload is named {name!r} too, and was taken. "
                    "Fix: rename one of them."
                )
            documents[uri] = _read(folder, file, uri, settings)
        except RagkitError as error:
            failed.append(FailedDocument(uri=uri, reason=str(error)))
    return ReadUploads(documents=tuple(documents.values()), failed=tuple(failed))


def _read(folder: Path | None, file: Upload, uri: str, settings: IngestSettings) -> Document:
    size = len(file.data) / 2**20
    if size > settings.max_file_mb:
        raise InputError(
            f"{file.name!r} has {size:.0f} MiB, more than the {settings.max_file_mb} allowed. "
            "Fix: divide it, or raise ingest.max_file_mb."
        )
    document = build_registry(settings).loader(file.data, file.name).load(file.data, uri=uri)
    if folder is None:
        return document
    path = folder / uri.removeprefix(UPLOADS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be written: {error.strerror or error}. "
            "Fix: give a folder that can be written with --data."
        ) from error
    return document
