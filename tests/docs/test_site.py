"""The site of the documentation, as `make docs` builds it."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["'](https?:|//)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning as an error."""
    pytest.importorskip("merman")  # it has no builds for some machines
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > 40
    assert [str(page) for page in pages if LOADED.search(page.read_text("utf-8"))] == []
    styles = "".join(style.read_text("utf-8") for style in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", styles)


def test_every_diagram_is_drawn(site: Path) -> None:
    for source in (ROOT / "docs").rglob("*.md"):
        diagrams = source.read_text("utf-8").count("```mermaid")
        page = source.relative_to(ROOT / "docs").with_suffix("")
        built = site / ("" if page.name == "index" else page) / "index.html"
        text = built.read_text("utf-8")
        assert text.count('<div class="diagram"><svg ') == diagrams, source
        assert 'class="mermaid"' not in text


def test_every_public_name_has_its_docstring_and_is_linked_from_the_table(site: Path) -> None:
    table = (site / "reference/index.html").read_text("utf-8")
    reference: dict[str, Any] = runpy.run_path(str(ROOT / "docs/reference.py"))
    anchors = "".join(page.read_text("utf-8") for page in site.glob("reference/*/index.html"))
    seen: set[int] = set()
    for modules in reference["SECTIONS"].values():
        for name in (name for module in modules for name in reference["listed"](module, seen)):
            assert f'id="{name}"' in anchors, name
            assert re.search(rf'href="[^"]+#{re.escape(name)}"', table), name
