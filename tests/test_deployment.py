"""The container files: valid, pinned, without default secrets, and true to what they start."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml
from prometheus_client import start_http_server

import ragkit
from ragkit.cli.main import app
from ragkit.core.settings import Settings
from ragkit.server.metrics import Metrics
from ragkit.testing.vllm_server import free_port

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


def test_the_image_has_the_version_of_the_package(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()}
    own = {image for image in images if image.startswith("ragkit:")}
    assert own == {f"ragkit:{ragkit.__version__}"}


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


DEPLOY = ROOT / "deploy"
EXPRESSIONS = re.compile(r"(?<![\w:])((?:ragkit|vllm)[_:][a-z_:]+)")
SUFFIX = re.compile(r"_(?:total|bucket|sum|count)$")


def _watched() -> set[str]:
    """The metrics that the dashboard and the alerts name."""
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    texts = [one["expr"] for one in (*targets, *rules)]
    return {name for text in texts for name in EXPRESSIONS.findall(text)}


def test_every_metric_that_is_watched_is_one_that_ragkit_exports() -> None:
    families = list(Metrics().registry.collect())
    exported = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    exported |= {f"{one.name}_bucket" for one in families if one.type == "histogram"}
    named = {name for name in _watched() if name.startswith("ragkit_")}
    assert len(named) > 20
    assert named <= exported


def test_every_metric_that_is_watched_is_one_that_vllm_exports() -> None:
    folder = next((ROOT / ".venv-vllm").glob("lib/python*/site-packages/vllm/v1/metrics"), None)
    if folder is None:
        pytest.skip("vLLM is not installed here: make .venv-vllm")
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    named = {name for name in _watched() if name.startswith("vllm:")}
    assert len(named) > 10
    for name in named:
        kind = {"_total": "counter", "_bucket": "histogram"}.get(name[name.rindex("_") :], "gauge")
        pattern = rf'_{kind}_cls\(\s*name="{SUFFIX.sub("", name)}"'
        assert re.search(pattern, source), name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus has promtool")
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "deploy/prometheus.yml"),
        ("check", "rules", "deploy/alerts.yml"),
        ("test", "rules", "tests/telemetry/alerts.test.yml"),
    ],
)
def test_alerts_are_valid_and_fire_in_their_faults_alone(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_fault_that_it_fires_in_and_advice() -> None:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    faults = (ROOT / "tests" / "telemetry" / "alerts.test.yml").read_text()
    page = (ROOT / "docs" / "telemetry.md").read_text()
    for rule in (rule for group in groups for rule in group["rules"]):
        assert f'alertname="{rule["alert"]}"' in faults
        assert f"| `{rule['alert']}` |" in page


@pytest.mark.enable_socket
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's prometheus is not here")
def test_a_real_prometheus_scrapes_a_server_and_loads_the_rules(tmp_path: Path) -> None:
    registry = Metrics().registry
    scraped, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "3s"  # a scrape may take as long
    config["rule_files"] = [str(DEPLOY / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [
        f"127.0.0.1:{scraped.server_address[1]}"
    ]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    url = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={url}"]
    command += ["--enable-feature=exemplar-storage", "--log.level=error"]
    process = subprocess.Popen(command)
    try:
        query = {"query": 'count({__name__=~"ragkit_.*", job="ragkit"})'}
        _until(lambda: _asked(f"http://{url}/api/v1/query", query)["result"])
        rules = _asked(f"http://{url}/api/v1/rules", {})["groups"]
    finally:
        process.terminate()
        process.wait()
        scraped.shutdown()
        scraped.server_close()
        thread.join()
    assert {rule["name"] for group in rules for rule in group["rules"]} >= {"RagkitDown"}


def _asked(url: str, query: dict[str, str]) -> Any:  # JSON
    with contextlib.suppress(httpx.TransportError):
        response = httpx.get(url, params=query, timeout=60)
        if response.is_success:  # not while it starts
            return response.json()["data"]
    return {"result": []}


def _until(holds: Callable[[], object]) -> None:
    """Wait until it holds, or the test's time is over."""
    while not holds():
        time.sleep(0.05)
