"""The parts of the site that are made when it is built: `make docs`.

A page of the reference for each section of `docs/reference.py`, and the diagrams as SVG, so that a
reader's browser needs no script and no other host for them.
"""

import json
import re
import runpy
from collections.abc import Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REFERENCE: Mapping[str, Any] = runpy.run_path(str(Path(__file__).with_name("reference.py")))
DIAGRAM_IDS = count(1)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Draw the code blocks of Mermaid, and list the pages of the reference."""
    fences = {"name": "mermaid", "class": "mermaid", "format": diagram}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fences]}
    for part in config.nav or ():
        part.get("Reference", []).extend({title: _path(title)} for title in REFERENCE["SECTIONS"])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each section of the reference, with the docstrings of its names."""
    seen: set[int] = set()
    for title, modules in REFERENCE["SECTIONS"].items():
        names = [name for module in modules for name in REFERENCE["listed"](module, seen)]
        page = f"# {title}\n\n" + "\n\n".join(f"::: {name}" for name in names)
        files.append(File.generated(config, _path(title), content=page))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead from the table of all names to their docstrings."""
    if page.file.src_uri != "reference.md":
        return markdown
    return re.sub(r"^\| `(ragkit[\w.]+)`", r"| [`\1`][\1]", markdown, flags=re.MULTILINE)


def diagram(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """Return a Mermaid diagram as an SVG within the page."""
    try:
        merman = import_module("merman")
    except ImportError as error:
        message = 'Diagrams need merman. Fix: pip install "ragkit[docs]"'
        raise PluginError(message) from error
    settings = json.dumps({"svg": {"diagram_id": f"diagram-{next(DIAGRAM_IDS)}"}})
    try:
        drawn = merman.Merman().render_svg(source, settings)
    except merman.MermanError as error:
        raise PluginError(f"The diagram {source!r} cannot be drawn: {error}") from error
    return f'<div class="diagram">{drawn}</div>'


def _path(title: str) -> str:
    return f"reference/{title.lower().replace(' ', '-')}.md"
