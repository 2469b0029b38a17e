"""Mutate files of every format at random, and load them: each loads or is refused, soon.

    python tests/ingest/fuzz.py --files 10000 [--formats .pdf .html] [--seed 0]

The bytes of a file are mutated, or those of a part of an office document or book. A loader that
raises anything but `InputError`, or takes more than ten seconds of the processor, is a failure; its
file is written to the working folder. The memory of the process is bounded.
"""

import argparse
import io
import json
import random
import resource
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

import docx
import fpdf
import openpyxl
import pptx

from ragkit import InputError
from ragkit.ingest.loaders import loader_for

LIMIT_S = 10
MEMORY = 8 * 2**30
JUNK = [b"<", b">", b"&#0;", b'"', b"\x00", b"99999999999", b"-1", b"</w:p>", b"<w:tbl>", b"nan"]


def examples() -> dict[str, bytes]:
    """Return a small file of each format."""
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "Ann <ann@example.org>", "Größe"
    mail.set_content("Some text.")
    mail.add_attachment(b"a,b\n1,2", maintype="text", subtype="csv", filename="table.csv")
    word, book, show = docx.Document(), openpyxl.Workbook(), pptx.Presentation()
    word.add_heading("Title", level=1)
    word.add_paragraph("first", style="List Bullet")
    word.add_table(rows=1, cols=2).cell(0, 0).text = "cell"
    book.worksheets[0].append(["a", 1, 2.5])
    title = show.slides.add_slide(show.slide_layouts[5]).shapes.title
    assert title is not None
    title.text = "Slide"
    pages = fpdf.FPDF()
    pages.set_font("helvetica", size=12)
    for number in (1, 2):
        pages.add_page()
        pages.multi_cell(0, text=f"Page {number}\n\nSome text of a page.\n" * 5)
    files: dict[str, bytes] = {
        ".csv": b'a,b\n1,"2\n3"\n',
        ".eml": bytes(mail),
        ".html": b"<html><h1>a</h1><table><tr><td>x<td>y</table><ul><li>a<li>b</ul><pre>c</pre>",
        ".ipynb": b'{"cells": [{"cell_type": "code", "source": ["x"], "outputs": []}]}',
        ".json": b'[{"a": [1, {"b": "c"}], "d": null}]',
        ".md": b"---\na: 1\n---\n# h\n\n- a\n- b\n\n|a|b|\n|-|-|\n|1|2|\n",
        ".py": b"def f():\n    return 1\n",
        ".rst": b"T\n=\n\n* a\n\nCode::\n\n    x\n\n+-+\n|a|\n+-+\n",
        ".adoc": b"= T\n\n----\nx\n----\n\n|===\n|a\n|===\n\n* a\n",
        ".xml": b"<?xml version='1.0'?><a><t x='1'>b</t><s><head>c</head><p>d<i>e</i></p></s></a>",
        ".ods": open_document(),
        ".pdf": bytes(pages.output()),
        ".srt": b"1\n00:00:01,000 --> 00:00:03,000\n<i>Hello</i> there.\n",
    }
    for extension, save in ((".docx", word.save), (".xlsx", book.save), (".pptx", show.save)):
        file = io.BytesIO()
        save(file)
        files[extension] = file.getvalue()
    return files


def open_document() -> bytes:
    """Return a small sheet as OpenDocument has it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        package.writestr(
            "content.xml",
            '<d xmlns:o="urn:o" xmlns:t="urn:t" xmlns:x="urn:x"><o:body><o:spreadsheet>'
            '<t:table t:name="S"><t:table-row><t:table-cell t:number-columns-repeated="3">'
            "<x:p>a<x:s/>b</x:p></t:table-cell></t:table-row><t:table-row "
            't:number-rows-repeated="1000000"><t:table-cell/></t:table-row></t:table>'
            "</o:spreadsheet></o:body></d>",
        )
    return file.getvalue()


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return data in which bytes are changed, removed, repeated or inserted."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(changed) + 1)
        action = draw.randrange(4)
        if action == 0:
            changed[at : at + 4] = draw.randbytes(4)
        elif action == 1:
            del changed[at : at + draw.randint(1, 50)]
        elif action == 2:
            start = draw.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + draw.randint(1, 200)]
        else:
            changed[at:at] = draw.choice(JUNK)
    return bytes(changed)


def mutated_part(package: bytes, draw: random.Random) -> bytes:
    """Return a package in which one part is mutated."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(file, "w") as new:
        hit = draw.choice(old.namelist())
        for name in old.namelist():
            new.writestr(name, mutated(old.read(name), draw) if name == hit else old.read(name))
    return file.getvalue()


def outcome(extension: str, data: bytes) -> str:
    """Load a file; return "loaded", "refused", or the failure."""
    started = time.process_time()
    try:
        loader_for(extension).load(data, uri=f"fuzzed{extension}")
        result = "loaded"
    except InputError:
        result = "refused"
    except Exception as error:  # noqa: BLE001 - any other is what is looked for
        result = f"failed: {type(error).__name__}: {error}"
    return result if time.process_time() - started < LIMIT_S else "failed: too slow"


def fuzz(files: int, *, seed: int, formats: Sequence[str] = ()) -> dict[str, int]:
    """Load so many mutated files, of some formats or all; return the outcomes by format."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    draw = random.Random(seed)
    made = {name: data for name, data in examples().items() if not formats or name in formats}
    outcomes: Counter[str] = Counter()
    for number in range(files):
        extension = draw.choice(sorted(made))
        is_package = made[extension].startswith(b"PK") and draw.random() < 0.8
        data = (mutated_part if is_package else mutated)(made[extension], draw)
        result = outcome(extension, data)
        outcomes[f"{extension} {result.partition(':')[0]}"] += 1
        if result.startswith("failed"):
            path = Path(f"fuzzed-{seed}-{number}{extension}")
            path.write_bytes(data)
            print(f"{path}: {result}", flush=True)
    return dict(sorted(outcomes.items()))


def main() -> None:
    """Run, and end with status 1 where a loader failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", choices=sorted(examples()), default=())
    options = parser.parse_args()
    outcomes = fuzz(options.files, seed=options.seed, formats=options.formats)
    print(json.dumps(outcomes))
    if any("failed" in name for name in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
