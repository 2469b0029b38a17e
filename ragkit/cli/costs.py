"""`ragkit costs`: what the requests of a server cost."""

from datetime import date
from typing import Annotated, cast

import typer
from rich.table import Table

from ragkit.cli import console
from ragkit.cli.options import Json, reporting
from ragkit.cli.serve import DATA_FOLDER, Folder
from ragkit.core.errors import InputError, MissingExtraError


@reporting
def costs(
    *,
    by: Annotated[
        str, typer.Option("--by", help="day, key, tenant, model, conversation or request.")
    ] = "day",
    since: Annotated[
        str, typer.Option("--since", help="From this day on (UTC).", metavar="YYYY-MM-DD")
    ] = "",
    data: Folder = DATA_FOLDER,
    as_json: Json = False,
) -> None:
    """Show tokens and costs of a server's requests, in the currency of costs.prices."""
    try:
        from ragkit.server.costs import CostGroup, kept_ledger
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", extra="server") from error

    ledger = kept_ledger(data)
    found = ledger.sums(cast("CostGroup", by), since=_day(since))
    ledger.close()
    total = sum(one.cost for one in found)
    if as_json:
        console.print_json({"by": by, "rows": found, "total": total})
        return
    table = Table(by, "requests", "prompt", "cached", "completion", "cost")
    for one in found:
        counts = (one.requests, one.prompt, one.cached, one.completion)
        table.add_row(one.name or "-", *(f"{count:,}" for count in counts), f"{one.cost:.6g}")
    console.out.print(table)
    console.out.print(f"total {total:.6g}", markup=False, highlight=False)


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise InputError(f"--since {text!r} is no day. Fix: write it as 2026-01-31.") from error
