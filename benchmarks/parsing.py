"""Loaders beside those of other tools: words, their order, headings and rows of tables found.

Run: python -m benchmarks.parsing DOCUMENTS [--python OTHER/bin/python] [--tools ragkit,markitdown]

The reference is what a file says by itself: the text runs of an office file's XML, the main part of
a page without navigation, asides and hidden elements, or for a PDF poppler's `pdftotext`, whose
engine none of the tools uses. Other tools run in the virtual environment of `--python`, which has
markitdown, langchain-community with pypdf and docx2txt, unstructured and docling.

Recall is the share of the reference's words that are found; order the longest increasing run of the
words that occur once on both sides, as a share of these; a heading is found where the tool marks it
as one; a row where one line has its cells in order.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from defusedxml.ElementTree import fromstring
from openpyxl import load_workbook
from selectolax.lexbor import LexborHTMLParser

from benchmarks import parsing_tools
from benchmarks.report import Row, publish

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_NO_CONTENT = (
    "script, style, noscript, template, svg, nav, header, footer, aside, [role=navigation], "
    "[hidden], [aria-hidden=true], [style*='display:none'], [style*='display: none']"
)
_LIMIT_S = 1200


@dataclass(slots=True, kw_only=True)
class Reference:
    """The text of a file, its headings and the rows of its tables, as the file has them."""

    text: str
    headings: list[str] = field(default_factory=list[str])
    rows: list[list[str]] = field(default_factory=list[list[str]])


class ParsedFile(TypedDict):
    """A file as a tool reads it."""

    path: str
    text: str
    headings: list[str]
    error: str
    seconds: float


def words(text: str) -> list[str]:
    """Return the words of a text, without case and punctuation."""
    return re.findall(r"\w+", text.casefold())


def reference(path: Path) -> Reference:
    """Return the reference of a file."""
    return {
        ".pdf": _of_pdf, ".docx": _of_docx, ".pptx": _of_pptx, ".xlsx": _of_xlsx,
        ".html": _of_html, ".epub": _of_epub,
    }[path.suffix](path)  # fmt: skip


def _of_pdf(path: Path) -> Reference:
    done = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=False)
    return Reference(text=done.stdout.decode("utf-8", "replace"))


def _of_docx(path: Path) -> Reference:
    with zipfile.ZipFile(path) as package:
        body = fromstring(package.read("word/document.xml"))
    found = Reference(text="")
    for paragraph in body.iter(f"{_W}p"):
        text = "".join(run.text or "" for run in paragraph.iter(f"{_W}t"))
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        name = "" if style is None else str(style.get(f"{_W}val"))
        if re.match(r"Heading\d|Title", name) and text.strip():
            found.headings.append(text)
        found.text += f"{text}\n"
    for row in body.iter(f"{_W}tr"):
        cells = row.findall(f"{_W}tc")
        found.rows.append(["".join(t.text or "" for t in cell.iter(f"{_W}t")) for cell in cells])
    return found


def _of_pptx(path: Path) -> Reference:
    found = Reference(text="")
    with zipfile.ZipFile(path) as package:
        names = [n for n in package.namelist() if re.fullmatch(r"ppt/slides/slide\d+\.xml", n)]
        for name in sorted(names, key=lambda one: int(re.findall(r"\d+", one)[0])):
            slide = fromstring(package.read(name))
            found.text += "\n".join(run.text or "" for run in slide.iter(f"{_A}t")) + "\n"
            for shape in slide.iter(f"{_P}sp"):
                kind = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
                text = "".join(run.text or "" for run in shape.iter(f"{_A}t"))
                if kind is not None and kind.get("type") in {"title", "ctrTitle"} and text:
                    found.headings.append(text)
            for row in slide.iter(f"{_A}tr"):
                cells = row.findall(f"{_A}tc")
                texts = ["".join(t.text or "" for t in cell.iter(f"{_A}t")) for cell in cells]
                found.rows.append(texts)
    return found


def _of_xlsx(path: Path) -> Reference:
    found = Reference(text="")
    for sheet in load_workbook(path, read_only=True, data_only=True):
        for row in sheet.iter_rows(values_only=True):
            found.rows.append([str(cell) for cell in row if cell is not None])
    found.text = "\n".join(" ".join(row) for row in found.rows)
    return found


def _of_html(path: Path) -> Reference:
    tree = LexborHTMLParser(path.read_bytes())
    for node in tree.css(_NO_CONTENT):
        node.decompose()
    root = tree.css_first("main") or tree.css_first("article") or tree.body
    if root is None:
        return Reference(text="")
    return Reference(
        text=root.text(separator="\n"),
        headings=[one.text() for one in root.css("h1, h2, h3, h4, h5, h6")],
        rows=[[cell.text() for cell in row.css("td, th")] for row in root.css("tr")],
    )


def _of_epub(path: Path) -> Reference:
    found = Reference(text="")
    with zipfile.ZipFile(path) as package:
        for name in sorted(n for n in package.namelist() if n.endswith((".xhtml", ".html"))):
            if "nav" in name or "toc" in name:
                continue
            body = LexborHTMLParser(package.read(name)).body
            if body is not None:
                found.text += f"{body.text(separator=' ')}\n"
                found.headings += [one.text() for one in body.css("h1, h2, h3, h4, h5, h6")]
    return found


def recall(expected: str, text: str) -> float:
    """Return the share of the words of a reference that a text has, counted as often."""
    wanted, found = Counter(words(expected)), Counter(words(text))
    return (wanted & found).total() / max(wanted.total(), 1)


def order(expected: str, text: str) -> float:
    """Return the share of the words that occur once on both sides that stand in their order."""
    places = [_once(words(one)) for one in (expected, text)]
    common = [places[1][word] for word in places[0] if word in places[1]]
    rising: list[int] = []
    for place in common:
        at = bisect_left(rising, place)
        rising[at : at + 1] = [place]
    return len(rising) / len(common) if common else float(bool(text))


def _once(found: Sequence[str]) -> dict[str, int]:
    counts = Counter(found)
    return {word: place for place, word in enumerate(found) if counts[word] == 1}


def _holds(line: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether the words of all cells stand in a line, in order."""
    rest = iter(line)
    return all(word in rest for cell in row for word in words(cell))


def parsed(tool: str, files: Sequence[Path], python: str) -> list[ParsedFile]:
    """Return what a tool reads, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        listed, out = Path(folder) / "files.json", Path(folder) / "out.json"
        listed.write_text(json.dumps([str(file) for file in files]), encoding="utf-8")
        script = str(parsing_tools.__file__)
        command = [python, "-W", "ignore", script, tool, str(listed), str(out)]
        subprocess.run(command, check=True, timeout=_LIMIT_S, stdout=subprocess.DEVNULL)
        found: list[ParsedFile] = json.loads(out.read_text(encoding="utf-8"))
        return found


def score(tool: str, results: Sequence[ParsedFile]) -> list[Row]:
    """Return the row of a tool for each format."""
    groups: defaultdict[str, list[ParsedFile]] = defaultdict(list)
    for result in results:
        groups[Path(result["path"]).suffix].append(result)
    return [_row(tool, kind, groups[kind]) for kind in sorted(groups)]


def _row(tool: str, kind: str, results: Sequence[ParsedFile]) -> Row:
    texts = [(reference(Path(one["path"])), one) for one in results]
    texts = [(expected, one) for expected, one in texts if words(expected.text)]
    headings = [(h, one) for expected, one in texts for h in expected.headings if words(h)]
    rows = [
        (row, one)
        for expected, one in texts
        for row in expected.rows
        if sum(bool(words(cell)) for cell in row) > 1
    ]
    marked = {id(one): {" ".join(words(h)) for h in one["headings"]} for _, one in texts}
    lines = {id(one): [words(line) for line in one["text"].split("\n")] for _, one in texts}
    with_heading = sum(" ".join(words(h)) in marked[id(one)] for h, one in headings)
    with_row = sum(any(_holds(line, row) for line in lines[id(one)]) for row, one in rows)
    read = [one for _, one in texts if one["text"]]
    seconds = sum(one["seconds"] for one in read)
    return {
        "format": kind,
        "tool": tool,
        "read": f"{len(read)} of {len(texts)}",
        "recall": sum(recall(e.text, one["text"]) for e, one in texts) / max(len(texts), 1),
        "order": sum(order(e.text, one["text"]) for e, one in texts) / max(len(texts), 1),
        "headings": f"{with_heading} of {len(headings)}",
        "rows": f"{with_row} of {len(rows)}",
        "files/s": len(read) / seconds if seconds else 0.0,
    }


def main() -> None:
    """Parse with every tool, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tools", default=",".join(parsing_tools.TOOLS))
    options = parser.parse_args()
    kinds = {".pdf", ".docx", ".pptx", ".xlsx", ".html", ".epub"}
    files = sorted(one for one in options.documents.rglob("*") if one.suffix in kinds)
    rows: list[Row] = []
    for tool in options.tools.split(","):
        python = sys.executable if tool == "ragkit" else options.python
        rows += score(tool, parsed(tool, files, python))
    rows.sort(key=lambda row: str(row["format"]))
    note = "seconds of processor time; files whose reference has no words are left out"
    publish("parsing", rows, note=note)


if __name__ == "__main__":
    main()
