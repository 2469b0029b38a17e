"""Units of a passage that an answer is made of: sentences, list items, table rows, code.

A chunk keeps the text of its document, which may be Markdown, reStructuredText or plain. Units know
their place in it, their plain text and the heading above them.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.answering.code_lines import is_code
from ragkit.answering.line_marks import (
    ADMONITION,
    ATX,
    BREAKS,
    CODE_DIRECTIVES,
    CODE_INDENT,
    DIRECTIVE,
    DROPPED_DIRECTIVES,
    FENCE_DIRECTIVE,
    FIELD,
    ITEM,
    NOISE,
    OBJECTS,
    OPTION,
    OPTION_NAMES,
    SUMMARY,
    TAB,
    TABS,
    UNDERLINE,
    TextLine,
    lines_of,
    starts_in_code,
)
from ragkit.answering.markup import PlainText, is_literal, plain_text, verbatim_text
from ragkit.answering.open_headings import OpenHeadings
from ragkit.answering.paragraph import (
    asks,
    is_reply,
    is_set_off,
    question_before,
    sentences_of,
    without_label,
)
from ragkit.answering.table_rows import cells_of, columns_above, is_row, is_rule, is_ruled, joined
from ragkit.core.types import Chunk

UnitKind: TypeAlias = Literal["sentence", "item", "row", "code"]

_LONGEST_HEADING_WORDS = 12
_VALUE = re.compile(r":\s+\S*[\d/\\]")
"""A value such as that of `Added in: v0.3.3`, which no heading has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A part of a chunk that can be quoted: `chunk.text[start:end]`.

    Attributes:
        kind: A sentence, a list item, a table row or a block of code.
        start: Offset in the chunk's text.
        end: The same.
        plain: Its text without markup, with offsets in the chunk's text.
        heading: The innermost heading above it.
        question: The question of the text that it is the answer to, or a part of it.
        block: Number of the paragraph, list, table or code block that it belongs to.
        marker: The marker of a list item, `•` or its number.
        opens: True for the first sentence under its heading, or after a list that stands there.
    """

    kind: UnitKind
    start: int
    end: int
    plain: PlainText
    heading: str
    block: int
    question: str = ""
    marker: str = ""
    opens: bool = False

    @property
    def text(self) -> str:
        """Its text without markup."""
        return self.plain.text

    @property
    def asked_text(self) -> str:
        """Its text, after the question that it answers, if there is one."""
        return f"{self.question} {self.text}" if self.question else self.text


def units_of(chunk: Chunk, language: str = "english") -> list[Unit]:
    """Return the units of a chunk in reading order; headings are none."""
    return _Reader(chunk, language).read()


class _Reader:
    """One pass over the lines of a chunk."""

    def __init__(self, chunk: Chunk, language: str) -> None:
        self._source = chunk.text
        self._cut = chunk.start > 0  # the indent of the first line may have stayed behind
        self._context, self._columns = chunk.context, columns_above(chunk)
        self._literal = is_literal(chunk.uri)
        self._marks_headings = chunk.uri.lower().endswith((".md", ".markdown", ".mdown"))
        self._language = language
        self._path = {
            plain_text(name, 0, len(name)).text for name in (chunk.title, *chunk.heading_path)
        }
        above = chunk.heading_path[-1] if chunk.heading_path else chunk.title
        self._headings = OpenHeadings(plain_text(above, 0, len(above)).text)
        tildes = not chunk.uri.lower().endswith((".rst", ".rest"))
        self._lines = list(lines_of(chunk.text, tildes=tildes))
        self._at = 0
        self._block = 0
        self._in_list = False
        self._opens = False
        self._indented_text = True  # a chunk may start inside of anything
        self._text_fences = 0
        self._found: list[Unit] = []

    def read(self) -> list[Unit]:
        if starts_in_code(self._lines):
            self._fenced(self._at, "```")
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.blank:
                self._at += 1
                continue
            self._headings.leave(line.indent, line.text)
            outer = line.indent == 0 and not (self._cut and self._at == 0)
            if outer and not ITEM.match(line.text) and not self._field(line):
                self._in_list = False
                self._indented_text = False
            for take in (
                self._take_comment,
                self._take_fence,
                self._take_field,
                self._take_directive,
                self._take_heading,
                self._take_table,
                self._take_item,
                self._take_code,
            ):
                if take(line):
                    break
            else:
                self._paragraph()
        return self._found

    def _take_comment(self, line: TextLine) -> bool:
        if self._literal or not line.text.lstrip().startswith("<!--"):
            return False
        end = self._source.find("-->", line.start)
        stop = len(self._source) if end < 0 else end + 3
        while self._at < len(self._lines) and self._lines[self._at].start < stop:
            self._at += 1
        return True

    def _take_fence(self, line: TextLine) -> bool:
        fence = None if self._literal else line.fence
        if fence is None:
            return False
        name = FENCE_DIRECTIVE.match(fence["info"])
        if not fence["info"].strip() and self._text_fences:
            self._text_fences -= 1
            self._at += 1
        elif name is not None and name[1] not in CODE_DIRECTIVES | DROPPED_DIRECTIVES:
            self._text_fences += 1
            self._at += 1
        else:
            dropped = name is not None and name[1] in DROPPED_DIRECTIVES
            self._fenced(self._at + 1, fence.group("mark"), dropped=dropped)
        return True

    def _fenced(self, first: int, mark: str, *, dropped: bool = False) -> None:
        """Take a block of code up to its closing fence, or to the end of the chunk."""
        last = first
        while last < len(self._lines):
            closing = self._lines[last].fence
            if closing and not closing["info"].strip() and closing.group("mark").startswith(mark):
                break
            last += 1
        self._at = last + 1
        while first < last and OPTION.match(self._lines[first].text):
            first += 1
        if not dropped:
            self._code(first, last)

    def _take_heading(self, line: TextLine) -> bool:
        following = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else None
        if not self._literal and (summary := SUMMARY.match(line.text)):
            self._set_heading(line.start + summary.start(1), line.start + summary.end(1), 1)
            return True
        if not self._literal and (atx := ATX.match(line.text)):
            self._set_heading(line.start + atx.start("text"), line.start + atx.end("text"), 1)
            return True
        under = (
            following is not None
            and UNDERLINE.match(following.text)
            and len(following.text.strip()) + 2 >= len(line.text.strip())
        )
        if under and not self._literal and not UNDERLINE.match(line.text) and "|" not in line.text:
            self._set_heading(line.start, line.end, 2)
            return True
        before = self._lines[self._at - 1] if self._at else None
        alone = (before is None or before.blank or self._found == []) and (
            following is None or following.blank
        )
        name = plain_text(self._source, line.start, line.end, literal=self._literal).text
        if name in self._path or (alone and following is not None and self._is_title(line, name)):
            self._set_heading(line.start, line.end, 1, marked=name in self._path)
            return True
        return False

    def _replies(self) -> bool:
        """Return True where the next text begins as the reply to a question."""
        following = next((one for one in self._lines[self._at :] if not one.blank), None)
        return following is not None and is_reply(following.text)

    def _is_title(self, line: TextLine, name: str) -> bool:
        short = 0 < len(name.split()) <= _LONGEST_HEADING_WORDS
        item = ITEM.match(line.text) or "|" in name or line.indent or line.text.startswith(">")
        if self._marks_headings or item or is_code([line.text]) or _VALUE.search(name):
            return False
        return short and (name[-1].isalnum() or name[-1] in "?)`")

    def _enter_tab(self, title: str, indent: int) -> None:
        self._headings.enter(title, indent)
        self._in_list = False

    def _set_heading(self, start: int, end: int, lines: int, *, marked: bool = True) -> None:
        self._at += lines
        name = plain_text(self._source, start, end, literal=self._literal).text
        self._headings.begin_section(name, answered=marked or self._replies())
        self._in_list = False
        self._opens = True

    def _take_directive(self, line: TextLine) -> bool:
        if self._literal:
            return False
        if tab := TAB.match(line.text):
            self._enter_tab(tab["quoted"] or tab["bare"], line.indent if tab["quoted"] else -1)
        if tab or ADMONITION.match(line.text):
            self._indented_text = True
            self._at += 1
            return True
        if found := DIRECTIVE.match(line.text):
            self._named_directive(line, found["name"], found["rest"])
            return True
        if NOISE.match(line.text):
            self._at += 1
            return True
        return False

    def _named_directive(self, line: TextLine, name: str, title: str) -> None:
        """Take a directive of reStructuredText, with its content where that is code or nothing."""
        self._indented_text = True
        if title and name in TABS:
            self._enter_tab(title, line.indent)
        elif title and name.rpartition(":")[2] in OBJECTS:
            self._headings.name(title)
        self._at += 1
        while self._at < len(self._lines) and OPTION.match(self._lines[self._at].text):
            self._at += 1
        if name in DROPPED_DIRECTIVES:
            self._at = self._indented_end(line.indent + 1)
        elif name in CODE_DIRECTIVES:
            last = self._content_end(line.indent)
            self._code(self._at, last)
            self._at = last

    def _field(self, line: TextLine) -> "re.Match[str] | None":
        """Return the name of a field that the line begins."""
        if self._literal or self._marks_headings:
            return None
        found = FIELD.match(line.text)
        return None if found is None or found["name"].lower() in OPTION_NAMES else found

    def _take_field(self, line: TextLine) -> bool:
        found = self._field(line)
        if found is None:
            return False
        start, end = line.start + found.start("name"), line.end
        self._at += 1
        while (
            self._at < len(self._lines)
            and self._lines[self._at].indent > line.indent
            and self._continues(self._lines[self._at])
        ):
            end = self._lines[self._at].end
            self._at += 1
        if not self._in_list:
            self._block += 1
        self._in_list = True
        end = start + len(self._source[start:end].rstrip())
        kind: UnitKind = "sentence" if found.end() >= len(line.text.rstrip()) else "item"
        self._add(kind, start, end, plain_text(self._source, start, end))
        return True

    def _take_table(self, line: TextLine) -> bool:
        if not is_row(line.text, self._literal):
            return False
        first = self._at
        while self._at < len(self._lines) and is_row(self._lines[self._at].text, self._literal):
            self._at += 1
        rows = self._lines[first : self._at]
        ruled = is_ruled([row.text for row in rows])
        # Without anything above the chunk it is not known if the first row is the head.
        goes_on = first == 0 and self._cut and not ruled and (self._columns or self._context == "")
        columns = self._columns if goes_on else ""
        if self._literal and len(rows) == 1 and not columns:
            self._at = first
            return False
        rows = [row for row in rows if not is_rule(row.text)]
        if not rows:
            return True
        self._block += 0 if self._in_list else 1
        cells = [cells_of(self._source, row.start, row.end, literal=self._literal) for row in rows]
        headed = (ruled or self._literal) and len(rows) > 1 and not goes_on
        head = cells_of(columns, 0, len(columns), literal=self._literal) if columns else []
        names = [cell.text for cell in (cells[0] if headed else head)]
        for number, (row, found) in enumerate(zip(rows, cells, strict=True)):
            if number == 0 and headed:
                continue
            # The first row of a chunk may be the end of one.
            whole = number or not goes_on or len(found) == len(names)
            if (plain := joined(found, names if whole else [])).text:
                start = row.start + len(row.text) - len(row.text.lstrip())
                self._add("row", start, row.start + len(row.text.rstrip()), plain)
        self._block += 1
        return True

    def _take_item(self, line: TextLine) -> bool:
        item = ITEM.match(line.text)
        if item is None or (
            line.indent >= CODE_INDENT and not self._in_list and not self._indented_text
        ):
            return False
        start, end = line.start + item.end(), line.end
        self._at += 1
        while self._at < len(self._lines) and self._continues(self._lines[self._at]):
            end = self._lines[self._at].end
            self._at += 1
        if not self._in_list:
            self._block += 1
        self._in_list = True
        marker = item["marker"]
        plain = plain_text(self._source, start, end, literal=self._literal)
        if plain.text:
            shown = marker if marker[-1] in ".)" else "•"
            first = line.start + item.start("marker")
            if asks(plain.text) and self._is_nested(line):
                self._headings.ask_above(plain.text, line.indent)
                self._opens = True
                return True
            self._add("item", first, start + len(self._source[start:end].rstrip()), plain, shown)
        return True

    def _is_nested(self, line: TextLine) -> bool:
        """Return True where more stands under an item than its own lines."""
        following = next((one for one in self._lines[self._at :] if not one.blank), None)
        return following is not None and following.indent > line.indent

    def _continues(self, line: TextLine) -> bool:
        """Return True for a line that goes on with the paragraph or item before it."""
        starts = (
            line.blank
            or ITEM.match(line.text)
            or (not self._literal and (line.fence or ATX.match(line.text)))
            or (not self._literal and any(mark.match(line.text) for mark in BREAKS))
        )
        return not starts and not self._field(line)

    def _take_code(self, line: TextLine) -> bool:
        """Take an indented block of code, or lines that look like code."""
        inside = self._in_list or self._indented_text
        if line.indent < CODE_INDENT or inside:
            last = self._paragraph_end(self._at)
            if not self._is_code(self._at, last):
                return False
            last = self._more_code(last, self._indent(self._at, last))
        else:
            last = self._indented_end(line.indent)
        self._code(self._at, last)
        self._at = max(last, self._at + 1)
        return True

    def _indent(self, first: int, last: int) -> int:
        """Return the indent of a paragraph: of its first line where that is known."""
        if first or not self._cut:
            return self._lines[first].indent
        return min((line.indent for line in self._lines[first + 1 : last]), default=0)

    def _is_code(self, first: int, last: int) -> bool:
        return is_code([line.text for line in self._lines[first:last]])

    def _indented_end(self, indent: int) -> int:
        """Return the end of the lines from here that are blank or as indented as this."""
        last = self._at
        while last < len(self._lines):
            line = self._lines[last]
            if not line.blank and line.indent < min(indent, CODE_INDENT):
                break
            last += 1
        return last

    def _content_end(self, indent: int) -> int:
        """Return the end of the lines from here that are blank or indented further than this."""
        last = self._at
        while last < len(self._lines):
            if not self._lines[last].blank and self._lines[last].indent <= indent:
                break
            last += 1
        return last

    def _paragraph_end(self, first: int) -> int:
        while first < len(self._lines) and not self._lines[first].blank:
            first += 1
        return first

    def _more_code(self, last: int, indent: int) -> int:
        """Return the end of the code, so far indented, that goes on after blank lines."""
        while last < len(self._lines):
            first = last
            while first < len(self._lines) and self._lines[first].blank:
                first += 1
            end = self._paragraph_end(first)
            if first == end or self._lines[first].fence:
                return last
            prose = self._lines[first].indent < max(indent, 1)
            if prose and not self._is_code(first, end):
                return last
            last = end
        return last

    def _code(self, first: int, last: int) -> None:
        while last > first and self._lines[last - 1].blank:
            last -= 1
        while last > first and self._lines[first].blank:
            first += 1
        if first < last:
            start, end = self._lines[first].start, self._lines[last - 1].end
            end = start + len(self._source[start:end].rstrip())
            self._block += 0 if self._in_list else 1
            self._add("code", start, end, verbatim_text(self._source, start, end))
            self._block += 0 if self._in_list else 1

    def _paragraph(self) -> None:
        line = self._lines[self._at]
        start, end = line.start + len(line.text) - len(line.text.lstrip(" \t>")), line.end
        self._at += 1
        while self._at < len(self._lines) and self._continues(self._lines[self._at]):
            end = self._lines[self._at].end
            self._at += 1
        end = start + len(self._source[start:end].rstrip())
        self._block += 0 if self._in_list else 1
        plain = plain_text(self._source, start, end, literal=self._literal)
        found = list(sentences_of(plain, (start, end), self._source, self._language))
        question, count = question_before(found)
        set_off, answered = is_set_off(self._source[start:end]), count < len(found)
        if question and (set_off or answered or self._replies()):
            self._headings.ask(question)
            self._opens, found = True, [*map(without_label, found[count:])]
        elif self._headings.question:
            found = [*map(without_label, found)]
        for one in found:
            self._add("sentence", one.start, one.end, one.plain)
        if answered and not set_off:
            self._headings.end_answer()
        self._block += 0 if self._in_list else 1

    def _add(
        self, kind: UnitKind, start: int, end: int, plain: PlainText, marker: str = ""
    ) -> None:
        if plain.text.strip(" .,:;|*#=-_`>"):
            self._headings.reach(self._block)
            self._found.append(
                Unit(
                    kind=kind,
                    start=start,
                    end=end,
                    plain=plain,
                    heading=self._headings.heading,
                    question=self._headings.question,
                    block=self._block,
                    marker=marker,
                    opens=self._opens and kind == "sentence",
                )
            )
            self._opens = self._opens and kind in {"item", "row"}
