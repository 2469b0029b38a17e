"""The costs of a server as rows for a table and a plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.server.costs import CostSum

COST_COLUMNS = ("requests", "prompt", "cached", "completion", "cost")
MOST_ROWS = 200
UNNAMED = "-"


def ranked(sums: Sequence["CostSum"], *, by: str) -> list["CostSum"]:
    """Return days with the latest first, and everything else with the dearest first."""
    if by == "day":
        return sorted(sums, key=lambda one: one.name, reverse=True)
    return sorted(sums, key=lambda one: (-one.cost, one.name))


def cost_row(one: "CostSum") -> tuple[str, ...]:
    """Return the cells of a sum; what has no name, such as no conversation, is a dash."""
    counts = (one.requests, one.prompt, one.cached, one.completion)
    return (one.name or UNNAMED, *(f"{count:,}" for count in counts), f"{one.cost:.6g}")


def advice(sums: Sequence["CostSum"]) -> str:
    """Return what to configure where nothing costs anything, empty where something does."""
    if not sums:
        return "No request has been counted since that day."
    if not any(one.cost for one in sums):
        return (
            "No model has a price, so that tokens are counted and costs are not. Fix: set "
            "costs.prices in the ragkit.toml of the server."
        )
    return ""
