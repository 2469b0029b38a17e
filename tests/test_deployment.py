"""The container files: valid, pinned, without default secrets, and true to what they start."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ragkit.cli.main import app
from ragkit.core.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "compose.yaml"
VLLM_ARGUMENTS = "lib/python*/site-packages/vllm/engine/arg_utils.py"
DEFAULT = re.compile(r"\$\{\w+(?::-([^}]*))?\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:  # YAML
    """The services, with the defaults of variables."""
    text = DEFAULT.sub(lambda found: found[1] or "''", COMPOSE.read_text())
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_the_compose_file_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_pinned_ports_are_local_and_services_are_bounded(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert re.search(r"\d+\.\d+\.\d+$", tag), name
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), name
        assert service["restart"] == "unless-stopped", name
        assert "mem_limit" in service or "deploy" in service, name
        if "profiles" not in service:
            assert service["healthcheck"]["test"], name
        needed: list[str] | dict[str, Any] = service.get("depends_on", [])
        for other in needed:
            if isinstance(needed, dict):
                assert needed[other] == {"condition": "service_healthy"}, name
                assert "healthcheck" in services[other], name


def test_no_secret_has_a_default() -> None:
    for line in COMPOSE.read_text().splitlines():
        found = re.match(r"\s+([A-Z_]*(?:KEY|TOKEN|PASSWORD|SECRET)[A-Z_]*): (.*)", line)
        if found:
            value = DEFAULT.sub(lambda one: one[1] or "", found[2])
            assert not value or value.startswith("/run/secrets/"), line


def _ragkit(services: dict[str, Any]) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    for name, service in services.items():
        if service["image"].startswith("ragkit:"):
            yield name, service["command"], service["environment"]


def test_the_commands_and_settings_of_ragkit_exist(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    group: Any = typer.main.get_command(app)
    names = [name for name, _, _ in _ragkit(services)]
    assert names == ["server", "ui"]
    for _, (command, *arguments), environment in _ragkit(services):
        known = group.commands[command]
        context = known.make_context(command, [str(one) for one in arguments])
        assert context.params["host"] == "0.0.0.0"
        assert f"{context.params['port']}" in str(services)
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        settings = Settings.load(None)
        assert settings.llm.model == "vllm:http://vllm:8000"
        assert settings.index.location.endswith(("qdrant:6333", "server:8400"))


def test_the_flags_of_vllm_exist(services: dict[str, Any]) -> None:
    source = next((ROOT / ".venv-vllm").glob(VLLM_ARGUMENTS), None)
    if source is None:
        pytest.skip("vLLM is not installed here: make .venv-vllm")
    known = source.read_text()
    checked = 0
    for service in services.values():
        if service["image"].startswith("vllm/"):
            for argument in service["command"]:
                flag = argument.partition("=")[0]
                assert f'"{flag}"' in known, flag
                checked += 1
    assert checked >= 8


def test_what_the_image_copies_is_in_its_context() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in allowed, source
    stages = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.search(r":\d+\.\d+", stage) for stage in stages)
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] not in {"root", "0"}


def test_files_that_are_mounted_are_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file()
                assert yaml.safe_load((ROOT / source).read_text())
