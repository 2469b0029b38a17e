"""The short form of `tests/alerts.py`: all faults in a row, on one server."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.alerts import ALL_IN_A_ROW, DEPLOY, Pace, watch

RULES = (DEPLOY / "alerts.yml").read_text()


def test_durations_are_divided_and_cover_scrapes() -> None:
    pace = Pace(scale=60, scrape_s=1.0)
    rules = {
        rule["alert"]: rule for group in pace.rules(RULES)["groups"] for rule in group["rules"]
    }
    assert rules["RagkitErrors"]["for"] == "5000ms"
    assert rules["RagkitDown"]["for"] == "5000ms"  # of two minutes: five scrapes
    assert "[5000ms]" in rules["RagkitErrors"]["expr"]
    assert "[3000ms]" in rules["VllmKVCacheFull"]["expr"]  # of a minute: three scrapes
    assert "[60000ms] offset 30000ms" in rules["VllmFirstTokenRising"]["expr"]


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's prometheus is not here")
async def test_every_alert_fires_in_its_fault(tmp_path: Path) -> None:
    # That nothing fires before is left to `make alerts`: a busy machine is slow enough to alert of.
    found = await watch(tmp_path, Pace(scale=300, scrape_s=0.5), ALL_IN_A_ROW)
    groups = yaml.safe_load(RULES)["groups"]
    assert found.fired == {rule["alert"] for group in groups for rule in group["rules"]}
