"""Texts and headings of files by one tool: `python parsing_tools.py TOOL FILES_JSON OUT_JSON`.

It runs in the virtual environment that has the tool, and imports nothing else. Each file is written
as text, headings, processor seconds and error.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Parsed = tuple[str, list[str]]


def _ragkit() -> Callable[[str], Parsed]:
    from ragkit.ingest.loaders import LoaderRegistry, heading_text

    registry = LoaderRegistry()

    def parse(path: str) -> Parsed:
        data = Path(path).read_bytes()
        document = registry.loader(data, path).load(data, uri=path)
        headings = [heading_text(one) for one in document.blocks if one.kind == "heading"]
        return document.text, headings

    return parse


# Any, below: the tools are not installed where types are checked.
def _markitdown() -> Callable[[str], Parsed]:
    from importlib import import_module

    converter: Any = import_module("markitdown").MarkItDown()

    def parse(path: str) -> Parsed:
        text = str(converter.convert(path).text_content)
        marked = re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE)
        return text, [re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in marked]

    return parse


def _langchain() -> Callable[[str], Parsed]:
    from importlib import import_module

    loaders: Any = import_module("langchain_community.document_loaders")
    classes = {".pdf": "PyPDFLoader", ".docx": "Docx2txtLoader", ".html": "BSHTMLLoader"}

    def parse(path: str) -> Parsed:
        name = classes.get(Path(path).suffix)
        if name is None:
            raise ValueError("no loader without unstructured")
        documents = getattr(loaders, name)(path).load()
        return "\n".join(str(one.page_content) for one in documents), []

    return parse


def _unstructured() -> Callable[[str], Parsed]:
    from importlib import import_module

    partition: Any = import_module("unstructured.partition.auto").partition

    def parse(path: str) -> Parsed:
        elements = partition(filename=path)
        titles = [str(one) for one in elements if one.category == "Title"]
        return "\n".join(str(one) for one in elements), titles

    return parse


def _docling() -> Callable[[str], Parsed]:
    from importlib import import_module

    converter: Any = import_module("docling.document_converter").DocumentConverter()

    def parse(path: str) -> Parsed:
        if Path(path).suffix == ".pdf":
            raise ValueError("its models of layout and tables are on a hub")
        text = str(converter.convert(path).document.export_to_markdown())
        return text, re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE)

    return parse


TOOLS: dict[str, Callable[[], Callable[[str], Parsed]]] = {
    "ragkit": _ragkit,
    "markitdown": _markitdown,
    "langchain": _langchain,
    "unstructured": _unstructured,
    "docling": _docling,
}


def main(tool: str, listed: str, out: str) -> None:
    """Parse the files, each once after the first, which is parsed twice to load the tool."""
    parse = TOOLS[tool]()
    files: list[str] = json.loads(Path(listed).read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = []
    for number, path in enumerate([files[0], *files]):
        started = time.process_time()
        row: dict[str, Any] = {"path": path, "text": "", "headings": [], "error": ""}
        try:
            row["text"], row["headings"] = parse(path)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result
            row["error"] = f"{type(error).__name__}: {error}"[:200]
        row["seconds"] = time.process_time() - started
        if number:
            found.append(row)
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
