import importlib
import pkgutil
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import ragkit

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE: dict[str, Any] = runpy.run_path(str(DOCS / "reference.py"))


def test_the_page_is_that_of_the_code() -> None:
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == REFERENCE["page"](), "Fix: .venv/bin/python docs/reference.py"


def _packages() -> list[ModuleType]:
    apart = ("ragkit.cli", "ragkit.server", "ragkit.ui")
    names = [
        info.name
        for info in pkgutil.walk_packages(ragkit.__path__, "ragkit.")
        if info.ispkg and not info.name.startswith(apart)
    ]
    return [ragkit, *map(importlib.import_module, names)]


def test_every_name_that_a_package_exports_is_on_the_page() -> None:
    page = REFERENCE["page"]()
    listed = {
        line.split("`")[1].rpartition(".")[2] for line in page.splitlines() if line[:3] == "| `"
    }
    exported = {name for package in _packages() for name in getattr(package, "__all__", ())}
    assert exported - listed == set()
