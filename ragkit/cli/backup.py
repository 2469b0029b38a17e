"""`ragkit backup` and `ragkit restore`: all documents of an index in one file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, chosen_settings, reporting
from ragkit.core.tenant import check_tenants
from ragkit.sdk import RAG

File = Annotated[Path, typer.Argument(help="The backup, such as documents.zip.")]


@reporting
def backup(
    file: File,
    *,
    index: Index = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only this tenant's documents.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write all documents with their vectors to a new file; the index stays in use."""
    with RAG(chosen_settings(config, index, None)) as rag:
        report = rag.backup(file, tenant=check_tenants(tenant))
    if as_json:
        console.print_json({"file": str(file), **asdict(report)})
        return
    console.out.print(
        f"{report.documents} documents with {report.chunks} chunks are in {file}",
        markup=False,
        highlight=False,
    )


@reporting
def restore(
    file: File,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace other versions of these documents.")
    ] = False,
    index: Index = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Store the documents of a backup, each for the tenant that it belongs to."""
    with RAG(chosen_settings(config, index, None)) as rag:
        report = rag.restore(file, force=force)
    if as_json:
        console.print_json({"file": str(file), **asdict(report)})
        return
    console.out.print(
        f"{report.documents} documents with {report.chunks} chunks of {file} are stored",
        markup=False,
        highlight=False,
    )
