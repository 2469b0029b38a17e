import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit.cli.main import app
from ragkit.core.operation import request_id
from ragkit.core.settings import CostSettings, PriceSettings
from ragkit.core.types import Usage
from ragkit.server.costs import COSTS_NAME, CostLedger, running_account
from ragkit.server.keys import ApiKey

COMMAND = ["costs", "--data"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a server with one request."""
    settings = CostSettings(prices={"m": PriceSettings(prompt=2)})
    ledger = CostLedger(tmp_path / COSTS_NAME, settings)
    request_id.set("r")
    running_account.set(None)
    key = ApiKey(name="k", digest="", tenant="t")
    charge = ledger.reserve(key, model="m", usage=Usage())
    charge.account.add("m", Usage(prompt=500_000, completion=7))
    ledger.settle(charge)
    ledger.close()
    return tmp_path


def test_costs_are_shown_as_a_table_and_as_json(data: Path) -> None:
    shown = CliRunner().invoke(app, [*COMMAND, str(data), "--by", "key"])
    assert shown.exit_code == 0, shown.output
    assert "500,000" in shown.output
    assert "total 1" in shown.output
    done = CliRunner().invoke(app, [*COMMAND, str(data), "--by", "tenant", "--json"])
    found = json.loads(done.output)
    assert (found["total"], found["rows"][0]["name"], found["rows"][0]["requests"]) == (1.0, "t", 1)
    later = CliRunner().invoke(app, [*COMMAND, str(data), "--since", "2999-01-01", "--json"])
    assert json.loads(later.output)["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "week"], "Fix: choose one of day, key, tenant, model, conversation, request."),
        (["--since", "yesterday"], "Fix: write it as 2026-01-31."),
    ],
)
def test_what_cannot_be_used_is_named(data: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, [*COMMAND, str(data), *arguments])
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())


def test_a_folder_without_costs_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*COMMAND, str(tmp_path)])
    assert done.exit_code == 1
    assert "There are no costs" in done.output
