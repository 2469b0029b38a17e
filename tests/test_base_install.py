"""What `pip install ragkit` without extras gives, in a process that sees no other package."""

import importlib.metadata
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROGRAM = """
import importlib.abc, json, sys

class Absent(importlib.abc.MetaPathFinder):
    names = set(json.loads(sys.argv.pop(1)))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from ragkit.cli.main import main
main()
"""


def _base() -> set[str]:
    """Every distribution that comes with ragkit alone."""
    found: set[str] = set()
    left = ["ragkit"]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        wanted = map(Requirement, required)
        left += [
            one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def _absent() -> list[str]:
    """The modules of all other distributions that are installed here."""
    base, owners = _base(), defaultdict[str, set[str]](set)
    for module, names in importlib.metadata.packages_distributions().items():
        owners[module] |= {canonicalize_name(name) for name in names}
    return sorted(module for module, names in owners.items() if not names & base)


def _ragkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(_absent()), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_extras_are_absent() -> None:
    absent = set(_absent())
    assert {"torch", "tokenizers", "sentence_transformers", "fastapi", "streamlit"} <= absent
    assert not {"pydantic", "httpx", "langgraph", "typer", "ragkit"} & absent


def test_doctor_runs(tmp_path: Path) -> None:
    done = _ragkit(tmp_path, "doctor", "--json")
    assert {"python", "embedder"} <= {one["name"] for one in json.loads(done.stdout)["checks"]}


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("ask", "x"), "local"),
        (("search", "x"), "local"),
        (("ingest", "docs"), "local"),
        (("serve",), "server"),
        (("ui",), "ui"),
        (("mcp",), "server,mcp"),
    ],
)
def test_a_command_that_needs_an_extra_names_it(
    tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nA sentence.")
    done = _ragkit(tmp_path, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"ragkit[{extra}]" in done.stderr


def test_what_needs_no_extra_works(tmp_path: Path) -> None:
    assert _ragkit(tmp_path, "--version").returncode == 0
    planned = _ragkit(tmp_path, "plan", "llama-3-8b", "--gpu", "H100", "--json")
    assert json.loads(planned.stdout)["serving"]["gpu"] == "H100"
