"""Costs: what the requests of a server cost, by day, key, tenant, model and conversation."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import streamlit as st

from ragkit.core.errors import MissingExtraError
from ragkit.ui.charts import spending_chart
from ragkit.ui.cost_rows import COST_COLUMNS, MOST_ROWS, advice, cost_row, ranked
from ragkit.ui.markup import table_html
from ragkit.ui.workspace import Workspace

if TYPE_CHECKING:
    from ragkit.server.costs import CostGroup, CostSum

_GROUPS = ("day", "key", "tenant", "model", "conversation")
_DAYS = 30
_UNSET = (
    "No server is named. Fix: start the application with `ragkit ui --server-data DIR`, where DIR "
    "is the folder that `ragkit serve --data DIR` keeps its keys and costs in, `.ragkit/server` "
    "unless asked otherwise. Prices are set in `costs.prices` of the server's ragkit.toml."
)


def show(workspace: Workspace) -> None:
    """Draw the page."""
    folder = workspace.options.server_data
    if workspace.options.read_only:
        st.info("Costs are not shown in the read-only mode.", icon=":material/lock:")
        return
    if folder is None:
        st.info(_UNSET, icon=":material/payments:")
        return
    first, second = st.columns([1, 3])
    today = datetime.now(UTC).date()
    since = first.date_input("From this day on (UTC)", today - timedelta(days=_DAYS - 1))
    by = second.segmented_control("By", _GROUPS, default="day", required=True)
    _show_sums(_read(folder, by, since.isoformat()), by)


def _read(folder: Path, by: str, since: str) -> list["CostSum"]:
    try:
        from ragkit.server.costs import kept_ledger
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", extra="server") from error

    ledger = kept_ledger(folder)
    try:
        return ranked(ledger.sums(cast("CostGroup", by), since=since), by=by)
    finally:
        ledger.close()


def _show_sums(sums: list["CostSum"], by: str) -> None:
    if said := advice(sums):
        st.info(said, icon=":material/payments:")
    if not sums:
        return
    cost, requests, tokens = st.columns(3)
    cost.metric("Cost", f"{sum(one.cost for one in sums):.6g}")
    # A request of several models stands in the row of each.
    requests.metric(
        "Requests of models" if by == "model" else "Requests",
        f"{sum(one.requests for one in sums):,}",
    )
    tokens.metric("Tokens", f"{sum(one.prompt + one.completion for one in sums):,}")
    st.altair_chart(spending_chart(sums, by=by), width="stretch")
    rows = [cost_row(one) for one in sums[:MOST_ROWS]]
    st.html(table_html((by, *COST_COLUMNS), rows, numbers=len(COST_COLUMNS)))
    if len(sums) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(sums):,}.")
