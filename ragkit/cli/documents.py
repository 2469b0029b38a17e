"""`ragkit ingest | list | chunks | stats | delete`: the documents of the index."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.markup import escape

from ragkit.cli import console
from ragkit.cli.folder_watch import changes, keep_ingesting, watched_folders
from ragkit.cli.options import Config, Index, Json, Tenant, chosen_settings, reporting, terminable
from ragkit.core.errors import InputError
from ragkit.core.settings import Settings
from ragkit.core.types import Metadata, MetadataValue
from ragkit.index.build import MEMORY, REMOTE, folder, server_url
from ragkit.ingest.report import IngestReport
from ragkit.sdk import RAG

INCOMPLETE = 3
"""Exit status of an ingestion in which a document failed, or nothing was readable."""
_SHOWN = 300

Uri = Annotated[str, typer.Argument(help="A document's uri, as `ragkit list` shows it.")]


Paths = Annotated[list[str], typer.Argument(help="Files, folders, globs and URLs.")]
Sync = Annotated[
    bool, typer.Option("--sync", help="Delete documents that are gone from these sources.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Let --sync delete most documents of a folder; replace those of others."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", help="Only files of this pattern; may be repeated."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="No files and folders of this pattern; may be repeated."),
]
AddedMetadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        help="Metadata of every document; the value is JSON or text; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
ReplaceMetadata = Annotated[
    bool, typer.Option("--replace-metadata", help="Forget metadata of earlier runs.")
]
SourceName = Annotated[
    str | None,
    typer.Option("--source", help="Name that uris begin with.", metavar="NAME[=FOLDER]"),
]


Watch = Annotated[
    bool, typer.Option("--watch", help="Go on, and ingest again after each change of files.")
]


Engine = Annotated[
    Literal["local", "ray"] | None,
    typer.Option("--engine", help="Where documents are read and embedded: local or ray."),
]


@reporting
def ingest(
    paths: Paths,
    *,
    sync: Sync = False,
    force: Force = False,
    dry_run: DryRun = False,
    include: Include = None,
    exclude: Exclude = None,
    metadata: AddedMetadata = None,
    replace_metadata: ReplaceMetadata = False,
    source: SourceName = None,
    watch: Watch = False,
    engine: Engine = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Update the index with files, folders and web pages; patterns are those of .gitignore.

    Exit status 3 if a document failed, or nothing was readable.
    """
    settings = chosen_settings(config, index, tenant, engine=engine)
    added = parse_metadata(metadata or ())
    if watch and dry_run:
        raise InputError("--watch and --dry-run exclude each other. Fix: leave one out.")
    with (
        terminable(),
        console.progress(quiet=as_json) as on_progress,
        RAG(settings, on_progress=on_progress) as rag,
    ):
        run = functools.partial(
            rag.ingest,
            *paths,
            sync=sync,
            force=force,
            dry_run=dry_run,
            source=source,
            include=include or (),
            exclude=exclude or (),
            metadata=added or None,
            replace_metadata=replace_metadata,
        )
        if watch:
            changed = changes(watched_folders(paths), ignored=_index_folder(settings))
            return keep_ingesting(lambda: _show(run(), as_json=as_json), changed)
        report = run()
    return _show(report, as_json=as_json)


def _show(report: IngestReport, *, as_json: bool) -> int:
    """Show a report, and return its exit status."""
    if as_json:
        console.print_json(report)
    else:
        console.show_report(report)
    if report.added or report.updated or report.unchanged or report.deleted:
        return 0 if report.ok else INCOMPLETE
    if report.ok and not as_json:
        console.err.print("No document was found. Fix: check the paths, patterns and formats.")
    return INCOMPLETE


def _index_folder(settings: Settings) -> Path | None:
    location = settings.index.location
    elsewhere = location == MEMORY or location.startswith(REMOTE) or server_url(location)
    return None if elsewhere else folder(location).absolute()


def parse_metadata(texts: Sequence[str]) -> Metadata:
    """Read `key=value` texts; a value is JSON (a number, a bool, a list of texts) or a text.

    Raises:
        InputError: A text has no `=`, or its JSON is not a metadata value.
    """
    found: dict[str, MetadataValue] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError(f"--metadata is {text!r}. Fix: write KEY=VALUE, such as year=2024.")
        found[key] = _metadata_value(text, value)
    return found


def _metadata_value(text: str, value: str) -> MetadataValue:
    try:
        read: object = json.loads(value)
    except ValueError:
        return value
    if isinstance(read, list):
        items = cast("list[object]", read)
        texts = tuple(item for item in items if isinstance(item, str))
        if len(texts) == len(items):
            return texts
    if isinstance(read, str | int | float | bool):
        return read
    raise InputError(
        f"--metadata is {text!r}. Fix: use a text, a number, true, false or a list of texts."
    )


@reporting
def list_documents(
    *,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the documents of the index with their numbers of chunks."""
    with RAG(chosen_settings(config, index, tenant)) as rag:
        records = sorted(rag.documents(), key=lambda record: record.uri)
    if as_json:
        console.print_json({"documents": records})
        return
    for record in records:
        console.out.print(f"{record.chunks:>6}  {record.uri}", markup=False, soft_wrap=True)
    console.out.print(f"[dim]{len(records)} documents")


@reporting
def chunks(
    uri: Uri,
    *,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the chunks of a document in reading order."""
    with RAG(chosen_settings(config, index, tenant)) as rag:
        found = rag.chunks(uri)
    if not found:
        raise InputError(f"No document {uri!r} in the index. Fix: ragkit list")
    if as_json:
        console.print_json({"uri": uri, "chunks": found})
        return
    for chunk in found:
        page = f", page {chunk.page}" if chunk.page else ""
        where = f"characters {chunk.start}-{chunk.end}{page}"
        console.out.print(f"[bold]{chunk.ordinal + 1}. {escape(chunk.header)}[/]  [dim]{where}")
        if chunk.context:
            line = chunk.context.removeprefix(chunk.header).strip()
            console.out.print(f"   [italic dim]{escape(line)}", soft_wrap=True)
        text = " ".join(chunk.text.split())
        end = " …" if len(text) > _SHOWN else ""
        console.out.print(f"   {escape(text[:_SHOWN])}{end}", soft_wrap=True)


@reporting
def stats(
    *,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the numbers of documents and chunks, and the parts that the index was built with."""
    with RAG(chosen_settings(config, index, tenant)) as rag:
        found = rag.stats()
    if as_json:
        console.print_json(found)
        return
    identity = found.identity
    rows = {
        "index": found.location,
        "tenant": found.tenant,
        "documents": found.documents,
        "chunks": found.chunks,
        "embedder": f"{identity.embedder} ({identity.dimensions} dimensions, the first "
        f"{identity.search_dimensions} searched first)",
        "language": identity.language,
        "fields": ", ".join(f"{name} ({kind})" for name, kind in sorted(found.fields.items())),
    }
    for name, value in rows.items():
        console.out.print(f"[dim]{name:>10}[/] {escape(str(value))}", soft_wrap=True)


@reporting
def delete(
    uris: Annotated[list[str], typer.Argument(help="Uris, as `ragkit list` shows them.")],
    *,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Delete documents from the index, and nothing else; exit status 1 if one is not in it."""
    with RAG(chosen_settings(config, index, tenant)) as rag:
        known = {record.uri for record in rag.documents(uris)}
        deleted = rag.delete(uris)
    unknown = [uri for uri in dict.fromkeys(uris) if uri not in known]
    if as_json:
        console.print_json({"deleted": deleted, "unknown": unknown})
    else:
        console.out.print(f"{deleted} documents deleted")
        for uri in unknown:
            console.err.print(f"not in the index: {uri}", style="red", markup=False)
    return 1 if unknown else 0
