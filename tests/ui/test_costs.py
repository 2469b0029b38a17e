import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragkit.core.operation import request_id
from ragkit.core.settings import CostSettings, PriceSettings
from ragkit.core.types import Usage
from ragkit.server.costs import COSTS_NAME, CostLedger, CostSum, RequestAccount, running_account
from ragkit.server.keys import ApiKey
from ragkit.testing.embedder import HashEmbedder
from ragkit.ui.cost_rows import UNNAMED, advice, cost_row, ranked
from ragkit.ui.options import Options, arguments_of, parse_options
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import ui_settings
from tests.ui.test_views import html_of, open_page

PRICES = {"m": PriceSettings(prompt=1_000_000)}  # 1 a token
DAY_S = 86_400.0
MakeCostWorkspace = Callable[..., Workspace]


def a_sum(name: str, cost: float) -> CostSum:
    return CostSum(name=name, requests=1, prompt=1000, cached=0, completion=0, cost=cost)


def spend(file: Path, key: str, tokens: int, *, days_ago: int = 0, conversation: str = "") -> None:
    """Enter a request that asked the model m once."""
    ledger = CostLedger(
        file, CostSettings(prices=PRICES), now=lambda: time.time() - days_ago * DAY_S
    )
    request_id.set(f"{key}-{tokens}-{days_ago}")
    running_account.set(RequestAccount())
    charge = ledger.reserve(
        ApiKey(name=key, digest="", tenant="t"), model="m", usage=Usage(), conversation=conversation
    )
    charge.account.add("m", Usage(prompt=tokens))
    ledger.settle(charge)
    ledger.close()


@pytest.fixture
def server_data(tmp_path: Path) -> Path:
    file = tmp_path / COSTS_NAME
    spend(file, "anna", 10, conversation="Größe <b>")
    spend(file, "anna", 20, days_ago=2)
    spend(file, "ben", 70, days_ago=400)
    return tmp_path


@pytest.fixture
def workspace_of(tmp_path: Path) -> Iterator[MakeCostWorkspace]:
    made: list[Workspace] = []

    def make(*, server_data: Path | None = None, read_only: bool = False) -> Workspace:
        chosen = Options(data=tmp_path / "ui", server_data=server_data, read_only=read_only)
        made.append(Workspace(chosen, settings=ui_settings(), embedder=HashEmbedder()))
        return made[-1]

    yield make
    for workspace in made:
        workspace.close()


def test_days_stand_in_order_and_everything_else_by_cost() -> None:
    sums = [a_sum("2026-01-02", 1), a_sum("2026-01-03", 2), a_sum("2026-01-01", 3)]
    assert [one.name[-1] for one in ranked(sums, by="day")] == ["3", "2", "1"]
    assert [one.name[-1] for one in ranked(sums, by="key")] == ["1", "3", "2"]
    assert ranked([], by="day") == []


def test_a_sum_without_a_name_is_a_dash() -> None:
    assert cost_row(a_sum("", 0.5)) == (UNNAMED, "1", "1,000", "0", "0", "0.5")


def test_the_advice_says_what_is_missing() -> None:
    assert "No request" in advice([])
    assert "costs.prices" in advice([a_sum("x", 0)])
    assert advice([a_sum("x", 0), a_sum("y", 1)]) == ""


def test_the_option_is_written_and_read_alike() -> None:
    options = Options(server_data=Path("a b"))
    assert parse_options(arguments_of(options)) == options


def test_the_page_shows_sums_plots_and_a_table_by_day_and_by_key(
    workspace_of: MakeCostWorkspace, server_data: Path
) -> None:
    app = open_page(workspace_of(server_data=server_data), "costs")
    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Cost": "30", "Requests": "2", "Tokens": "30"}
    assert len(app.get("vega_lite_chart")) == 1
    app.date_input[0].set_value(app.date_input[0].value.replace(year=2024)).run()  # type: ignore[union-attr]
    app.segmented_control[0].set_value("key").run()
    assert html_of(app).index("ben") < html_of(app).index("anna")  # the dearest first
    app.segmented_control[0].set_value("conversation").run()
    assert "Größe &lt;b&gt;" in html_of(app)
    assert not app.exception


def test_the_page_says_what_to_configure(workspace_of: MakeCostWorkspace, tmp_path: Path) -> None:
    app = open_page(workspace_of(), "costs")
    assert "--server-data" in app.info[0].value
    app = open_page(workspace_of(server_data=tmp_path / "none"), "costs")
    assert "There are no costs" in app.error[0].value
    assert not (tmp_path / "none").exists()


def test_a_page_that_reads_nothing_from_disk_shows_no_costs(
    workspace_of: MakeCostWorkspace, server_data: Path
) -> None:
    app = open_page(
        workspace_of(server_data=server_data, read_only=True),
        "costs",
    )
    assert not app.metric
    assert "not shown" in app.info[0].value
