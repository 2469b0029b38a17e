import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit.cli.main import app


@pytest.fixture(name="taken")
def _taken() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_options_reach_the_application_and_its_errors_are_one_line(
    taken: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ragkit"])
    result = CliRunner().invoke(app, ["ui", "--read-only", "--port", str(taken)])
    assert result.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{taken}" in result.output
    assert "--read-only" in sys.argv
    assert len(result.output.splitlines()) <= 2


def test_a_settings_file_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ragkit"])
    result = CliRunner().invoke(app, ["ui", "--config", "missing.toml"])
    assert result.exit_code == 1
    assert "missing.toml" in result.output
