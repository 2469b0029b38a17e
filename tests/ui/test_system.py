import json
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from ragkit.core.errors import ProviderError
from ragkit.core.settings import LLMSettings, Settings
from ragkit.ui.doctor import doctor_command, index_check, read_checks, sorted_checks
from ragkit.ui.failures import FailureHandler, FailureLog
from ragkit.ui.index_facts import bytes_on_disk, tenant_counts
from ragkit.ui.latency import Latencies
from ragkit.ui.settings_view import HIDDEN, setting_rows
from ragkit.ui.workspace import Workspace


def test_every_setting_says_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGKIT_RETRIEVAL__K", "7")
    Path("ragkit.toml").write_text("[retrieval]\ndepth = 33\n")
    settings = Settings.load().model_copy(update={"tenant": "acme"})
    rows = {row.name: row for row in setting_rows(settings)}
    assert (rows["retrieval.k"].value, rows["retrieval.k"].origin) == ("7", "environment")
    assert (rows["retrieval.depth"].value, rows["retrieval.depth"].origin) == ("33", "file")
    assert (rows["tenant"].value, rows["tenant"].origin) == ("acme", "option")
    assert rows["retrieval.fusion"].origin == "default"
    assert rows["llm.model"].value == "not set"


def test_the_named_file_is_the_origin_not_the_one_in_the_working_folder(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[retrieval]\nk = 3\n")
    rows = {row.name: row for row in setting_rows(Settings.load(file), file=file)}
    assert rows["retrieval.k"].origin == "file"


def test_secrets_are_never_shown() -> None:
    settings = Settings(llm=LLMSettings(api_key=SecretStr("sk-12345")))
    rows = setting_rows(settings)
    assert {row.value for row in rows if row.name == "llm.api_key"} == {HIDDEN}
    assert "sk-12345" not in repr(rows)


def test_the_findings_of_doctor_are_read_without_that_of_the_index() -> None:
    found = {"name": "python", "status": "ok", "detail": "3.11", "fix": ""}
    text = json.dumps({"checks": [found, {**found, "name": "index"}]})
    assert [check.name for check in read_checks(text)] == ["python"]
    with pytest.raises(ProviderError, match="Fix: run it in a terminal"):
        read_checks("Traceback: boom")
    assert doctor_command(Path("a.toml"))[-2:] == ["--config", "a.toml"]


def test_what_needs_a_hand_comes_first(workspace: Workspace) -> None:
    good = index_check(workspace.settings, 3, "")
    bad = index_check(workspace.settings, None, "It is locked.")
    assert sorted_checks([good, bad]) == [bad, good]
    assert "3 documents" in good.detail
    assert bad.fix


def test_the_index_is_counted_by_tenant(workspace: Workspace, tmp_path: Path) -> None:
    assert [(c.tenant, c.documents) for c in tenant_counts(workspace, everyone=True)] == [
        ("default", 3)
    ]
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "file").write_bytes(b"12345")
    assert bytes_on_disk(str(tmp_path / "index")) == 5
    assert bytes_on_disk("http://127.0.0.1:6333") is None


def test_failures_are_bounded_and_the_newest_comes_first() -> None:
    log = FailureLog(size=3)
    for number in range(5):
        log.add("ask", str(number))
    assert [failure.message for failure in log.all()] == ["4", "3", "2"]


def test_warnings_of_ragkit_are_noted() -> None:
    log = FailureLog()
    logger = logging.getLogger("ragkit.test_of_the_ui")
    handler = FailureHandler(log)
    logger.addHandler(handler)
    logger.warning("%d passages were cut", 2)
    logger.info("not this")
    logger.removeHandler(handler)
    assert [(f.part, f.message) for f in log.all()] == [
        ("ragkit.test_of_the_ui", "2 passages were cut")
    ]


def test_latencies_are_kept_by_stage() -> None:
    kept = Latencies(size=2)
    for seconds in (0.1, 0.2, 0.3):
        kept.add({"search": seconds})
    assert kept.all() == {"search": [0.2, 0.3]}
