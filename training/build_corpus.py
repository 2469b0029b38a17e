"""Rebuild the demonstration corpus of `examples/corpus/` from the SQuAD development sets.

The documents are Wikipedia paragraphs kept verbatim (CC BY-SA 4.0). Which paragraphs, in which
format and under which headings, is the table `corpus_plan.toml` beside this file. The output is the
same byte for byte on every run with the same fpdf2.

    python training/build_corpus.py --squad-v1 dev-v1.1.json --squad-v2 dev-v2.0.json --out examples
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from pydantic import BaseModel, ConfigDict

Kind = Literal["answerable", "off-topic", "adversarial"]

CREATED = datetime(2018, 6, 11, tzinfo=UTC)  # any fixed moment: a PDF carries its date
CREDIT = "Text: Wikipedia contributors, by way of SQuAD. Licence: CC BY-SA 4.0."
# SQuAD writes the subscript of O2 as "O\n2".
SUBSCRIPT = re.compile(r"(?<=[A-Za-z\u2212+\])])\n(?=\d)")
FORMATS = {".md": "Markdown", ".html": "HTML", ".pdf": "PDF", ".txt": "plain text"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(_Strict):
    """A small table of facts from the paragraphs, printed at the end of the section `after`."""

    after: str
    caption: str
    columns: list[str]
    rows: list[list[str]]


class SectionPlan(_Strict):
    """A heading of ours and the positions of the paragraphs below it."""

    heading: str
    paragraphs: list[int]


class DocumentPlan(_Strict):
    """One document: where it goes, what it is made of, which questions are asked about it."""

    file: str
    article: str
    title: str
    summary: str
    year: int | None = None
    lead: list[int] = []
    sections: list[SectionPlan]
    questions: list[str]
    table: Table | None = None

    @property
    def category(self) -> str:
        """The folder that holds the document."""
        return PurePosixPath(self.file).parts[0]


class Unanswerable(_Strict):
    """SQuAD ids of the questions that no document answers."""

    off_topic: list[str]
    adversarial: list[str]


class Plan(_Strict):
    """The content of `corpus_plan.toml`."""

    document: list[DocumentPlan]
    unanswerable: Unanswerable


class Answer(BaseModel):
    """A gold answer: a span of the paragraph."""

    text: str


class Question(BaseModel):
    """A SQuAD question; `is_impossible` exists in version 2.0 only."""

    id: str
    question: str
    answers: list[Answer]
    is_impossible: bool = False


class Paragraph(BaseModel):
    """A SQuAD paragraph with its questions."""

    context: str
    qas: list[Question]


class Article(BaseModel):
    """A SQuAD article."""

    title: str
    paragraphs: list[Paragraph]


class Squad(BaseModel):
    """A SQuAD file of either version."""

    data: list[Article]

    def questions(self) -> dict[str, Question]:
        """Return every question by its id."""
        pairs = (paragraph.qas for article in self.data for paragraph in article.paragraphs)
        return {question.id: question for qas in pairs for question in qas}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading (None for the lead) with its text, ready to be written."""

    heading: str | None
    paragraphs: tuple[str, ...]
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document ready to be written in any format."""

    plan: DocumentPlan
    sections: tuple[Section, ...]

    @property
    def text(self) -> str:
        """All paragraphs, one per line."""
        return "\n".join(p for section in self.sections for p in section.paragraphs)


def clean(text: str) -> str:
    """Remove stray white space and change nothing else."""
    return re.sub(r"\s+", " ", SUBSCRIPT.sub("", text)).strip()


def assemble(plan: DocumentPlan, article: Article) -> Document:
    """Fill the planned sections with the paragraphs of the article."""
    used = [*plan.lead, *(i for section in plan.sections for i in section.paragraphs)]
    if len(used) != len(set(used)):
        raise ValueError(f"{plan.file!r} uses a paragraph twice; fix its numbers in the plan")
    if plan.table and plan.table.after not in {section.heading for section in plan.sections}:
        raise ValueError(f"{plan.file!r} has no section {plan.table.after!r} for its table")
    return Document(plan=plan, sections=tuple(_sections(plan, article)))


def _sections(plan: DocumentPlan, article: Article) -> Iterator[Section]:
    texts = [clean(paragraph.context) for paragraph in article.paragraphs]
    if plan.lead:
        yield Section(heading=None, paragraphs=tuple(texts[i] for i in plan.lead))
    for section in plan.sections:
        table = plan.table if plan.table and plan.table.after == section.heading else None
        paragraphs = tuple(texts[i] for i in section.paragraphs)
        yield Section(heading=section.heading, paragraphs=paragraphs, table=table)


# Markdown


def to_markdown(document: Document) -> bytes:
    """Write Markdown with YAML front matter and a pipe table."""
    plan = document.plan
    front = [f"title: {json.dumps(plan.title)}", f"category: {plan.category}"]
    if plan.year is not None:
        front.append(f"year: {plan.year}")
    blocks = ["\n".join(["---", *front, "---"]), f"# {plan.title}"]
    for section in document.sections:
        if section.heading:
            blocks.append(f"## {section.heading}")
        blocks.extend(section.paragraphs)
        if section.table:
            blocks += [f"**{section.table.caption}**", _pipe_table(section.table)]
    return ("\n\n".join(blocks) + "\n").encode()


def _pipe_table(table: Table) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


# Plain text


def to_text(document: Document) -> bytes:
    """Write plain text: underlined headings, a paragraph per line, tables in aligned columns."""
    plan = document.plan
    blocks = [_underline(plan.title, "="), plan.summary]
    for section in document.sections:
        if section.heading:
            blocks.append(_underline(section.heading, "-"))
        blocks.extend(section.paragraphs)
        if section.table:
            blocks.append(_aligned_table(section.table))
    return ("\n\n".join(blocks) + "\n").encode()


def _underline(text: str, mark: str) -> str:
    return f"{text}\n{mark * len(text)}"


def _aligned_table(table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    rows = [table.columns, *table.rows]
    lines = ("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join([f"{table.caption}:", *(f"  {line}".rstrip() for line in lines)])


# HTML

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="description" content="{summary}">
<meta name="keywords" content="{category}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 1rem/1.6 Georgia, serif; max-width: 44rem; margin: 0 auto; padding: 1rem; }}
nav ul {{ padding-left: 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #999; padding: 0.2rem 0.6rem; text-align: left; }}
footer {{ margin-top: 3rem; font-size: 0.85rem; color: #555; }}
</style>
</head>
<body>
<header>
<p class="breadcrumb">Reader &rsaquo; {category}</p>
</header>
<nav aria-label="Contents">
<ul>
{contents}
</ul>
</nav>
<main>
<article>
<h1>{title}</h1>
{body}
</article>
</main>
<footer>
<p>{credit} Source: <a href="{link}">{link}</a></p>
</footer>
</body>
</html>
"""


def to_html(document: Document) -> bytes:
    """Write a full page: head, contents, article, footer with the attribution."""
    plan = document.plan
    headings = [section.heading for section in document.sections if section.heading]
    link = '<li><a href="#{}">{}</a></li>'
    page = PAGE.format(
        title=html.escape(plan.title),
        summary=html.escape(plan.summary),
        category=plan.category,
        contents="\n".join(link.format(_slug(h), html.escape(h)) for h in headings),
        body="\n".join(line for section in document.sections for line in _html_section(section)),
        credit=CREDIT,
        link=html.escape(wikipedia(plan.article)),
    )
    return page.encode()


def _html_section(section: Section) -> Iterator[str]:
    if section.heading:
        yield f'<h2 id="{_slug(section.heading)}">{html.escape(section.heading)}</h2>'
    for paragraph in section.paragraphs:
        yield f"<p>{html.escape(paragraph, quote=False)}</p>"
    if section.table:
        yield f"<table>\n<caption>{html.escape(section.table.caption)}</caption>"
        yield f"<thead>{_html_row(section.table.columns, 'th')}</thead>\n<tbody>"
        yield from (_html_row(row, "td") for row in section.table.rows)
        yield "</tbody>\n</table>"


def _html_row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f"<{tag}>{html.escape(cell, quote=False)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


# PDF


class _Pages(FPDF):
    """A4 pages with the page number at the foot."""

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.cell(0, 8, f"Page {self.page_no()} of {{nb}}", align="C")


def to_pdf(document: Document) -> bytes:
    """Write A4 pages with a text layer, larger bold headings and page numbers.

    The fonts are the core ones of PDF, so the text has to fit latin-1.
    """
    plan = document.plan
    pdf = _Pages(format="A4")
    pdf.set_creation_date(CREATED)
    pdf.set_title(plan.title)
    pdf.set_author("Wikipedia contributors")
    pdf.set_subject(plan.summary)
    pdf.set_keywords(plan.category)
    pdf.set_margins(25, 20)
    pdf.set_auto_page_break(auto=True, margin=20)
    pdf.add_page()
    _pdf_block(pdf, plan.title, size=20, style="B")
    for section in document.sections:
        _pdf_section(pdf, section)
    _pdf_block(pdf, f"{CREDIT} Source: {wikipedia(plan.article)}", size=8)
    return bytes(pdf.output())


def _pdf_section(pdf: FPDF, section: Section) -> None:
    if section.heading:
        if pdf.will_page_break(30):  # a heading stays with the text below it
            pdf.add_page()
        _pdf_block(pdf, section.heading, size=14, style="B")
    for paragraph in section.paragraphs:
        _pdf_block(pdf, paragraph, size=11)
    if section.table:
        _pdf_table(pdf, section.table)


def _pdf_block(pdf: FPDF, text: str, *, size: int, style: Literal["", "B"] = "") -> None:
    pdf.set_font("Helvetica", style=style, size=size)
    pdf.multi_cell(0, size * 0.48, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(size * 0.22)


def _pdf_table(pdf: FPDF, table: Table) -> None:
    if pdf.will_page_break(9 * (len(table.rows) + 2)):
        pdf.add_page()
    _pdf_block(pdf, table.caption, size=10, style="B")
    pdf.set_font("Helvetica", size=10)
    with pdf.table([table.columns, *table.rows], line_height=6, text_align="LEFT"):
        pass
    pdf.ln(4)


# Questions and licence


def questions(plan: Plan, documents: Sequence[Document], v1: Squad, v2: Squad) -> list[str]:
    """Write the lines of `questions.jsonl`, the answerable ones first, in the order of the plan."""
    first, second = v1.questions(), v2.questions()
    asked: list[tuple[Kind, Question, Document | None]] = []
    for document in documents:
        asked += [("answerable", first[key], document) for key in document.plan.questions]
    asked += [("off-topic", first[key], None) for key in plan.unanswerable.off_topic]
    asked += [("adversarial", second[key], None) for key in plan.unanswerable.adversarial]
    return [_line(number, *entry) for number, entry in enumerate(asked, start=1)]


def _line(number: int, kind: Kind, question: Question, document: Document | None) -> str:
    answers = _answers(question, document) if document else []
    if kind == "adversarial" and not question.is_impossible:
        raise ValueError(f"Question {question.id!r} has an answer; choose an impossible one")
    text = clean(question.question)
    record = {
        "id": f"q{number:03}",
        "question": text[0].upper() + text[1:] + ("" if text.endswith("?") else "?"),
        "answers": answers,
        "source": document.plan.file if document else None,
        "answerable": bool(answers),
        "kind": kind,
    }
    return json.dumps(record, ensure_ascii=False)


def _answers(question: Question, document: Document) -> list[str]:
    answers = list(dict.fromkeys(clean(answer.text) for answer in question.answers))
    missing = [answer for answer in answers if answer not in document.text]
    if missing or not answers:
        raise ValueError(f"{document.plan.file!r} lacks {missing!r}, answer to {question.id!r}")
    return answers


def wikipedia(article: str) -> str:
    """Return the address of the article that a SQuAD title names."""
    return f"https://en.wikipedia.org/wiki/{article}"


LICENSE = """# Licence of the demonstration corpus

The documents in `corpus/` and the questions in `questions.jsonl` are made from the
development sets of SQuAD 1.1 (Rajpurkar et al., 2016) and SQuAD 2.0 (Rajpurkar, Jia and Liang,
2018), which consist of paragraphs from the English Wikipedia by Wikipedia contributors and of
questions about them. Both are licensed under the
[Creative Commons Attribution-ShareAlike 4.0 International licence](https://creativecommons.org/licenses/by-sa/4.0/)
(CC BY-SA 4.0), and so are these files, independently of the licence of the code beside them.

Changes: paragraphs were selected and ordered, white space was tidied, and titles, headings,
summaries and small tables were added. The words of the paragraphs are unchanged; a few questions
got a missing capital or question mark. `training/build_corpus.py` rebuilds the files.

This file lies outside `corpus/` so that ingesting the folder does not ingest the licence.

| File | Format | Wikipedia article |
| --- | --- | --- |
"""


def license_text(plan: Plan) -> str:
    """Write the attribution, with one line per document."""
    row = "| `corpus/{}` | {} | [{}]({}) |"
    lines = [
        row.format(d.file, FORMATS[Path(d.file).suffix], name, f"<{wikipedia(d.article)}>")
        for d in sorted(plan.document, key=lambda d: d.file)
        for name in [d.article.replace("_", " ")]
    ]
    return LICENSE + "\n".join(lines) + "\n"


# Command

WRITERS: dict[str, Callable[[Document], bytes]] = {
    ".md": to_markdown,
    ".html": to_html,
    ".pdf": to_pdf,
    ".txt": to_text,
}


def build(plan: Plan, v1: Squad, v2: Squad, out: Path) -> None:
    """Write the corpus, its questions and its licence below `out`."""
    articles = {article.title: article for article in v1.data}
    documents = [assemble(entry, articles[entry.article]) for entry in plan.document]
    lines = questions(plan, documents, v1, v2)
    for document in documents:
        path = out / "corpus" / document.plan.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WRITERS[path.suffix](document))
        sys.stdout.write(f"{document.plan.file}: {len(document.text.split())} words\n")
    _write(out / "questions.jsonl", "\n".join(lines) + "\n")
    _write(out / "CORPUS-LICENSE.md", license_text(plan))
    sys.stdout.write(f"{len(documents)} documents, {len(lines)} questions\n")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())  # bytes: the same line ends on every system


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Rebuild the demonstration corpus from SQuAD.")
    parser.add_argument("--squad-v1", type=Path, required=True, help="SQuAD 1.1 development file")
    parser.add_argument("--squad-v2", type=Path, required=True, help="SQuAD 2.0 development file")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets corpus/")
    beside = Path(__file__).with_name("corpus_plan.toml")
    parser.add_argument("--plan", type=Path, default=beside, help="default: beside this file")
    options = parser.parse_args(arguments)
    plan = Plan.model_validate(tomllib.loads(options.plan.read_text(encoding="utf-8")))
    v1 = Squad.model_validate_json(options.squad_v1.read_bytes())
    v2 = Squad.model_validate_json(options.squad_v2.read_bytes())
    build(plan, v1, v2, options.out)


if __name__ == "__main__":
    main()
