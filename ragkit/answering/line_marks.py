"""Marks of lines in Markdown, MyST and reStructuredText: headings, lists, code, directives."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.answering.code_lines import is_code

CODE_INDENT = 4
FENCE = re.compile(r"[ \t>]*(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)\Z")
ATX = re.compile(r"[ \t>]*#{1,6}[ \t]+(?P<text>.*?)[ \t]*#*[ \t]*\Z")
SUMMARY = re.compile(
    r"[ \t]*(?:<details[^<>]*>[ \t]*)?<summary>[ \t]*(\S.*?)[ \t]*</summary>[ \t]*\Z"
)
"""The title of a part that is folded in."""
UNDERLINE = re.compile(r"[ \t]*([=\-~^\"'*+#.:_`])\1{2,}[ \t]*\Z")
ITEM = re.compile(
    r"(?P<indent>[ \t>]*)(?P<marker>[-*+•‣◦]|\d{1,3}[.)]|\(?[a-zA-Z][.)])[ \t]+(?=\S)"
)
DIRECTIVE = re.compile(r"[ \t]*\.\.[ \t]+(?P<name>[\w:-]+)::[ \t]*(?P<rest>.*)\Z")
FENCE_DIRECTIVE = re.compile(r"[ \t]*\{(?P<name>[\w:-]+)\}")
DROPPED_DIRECTIVES = frozenset({"contents", "toctree", "image", "figure", "raw", "include"})
OPTION = re.compile(r"[ \t]*:[\w-]+:(?:[ ].*)?\Z")
FIELD = re.compile(r"[ \t]*:(?P<name>[A-Za-z][\w ./*-]*):(?=[ \t]+\S|[ \t]*\Z)")
"""A field of reStructuredText, such as `:Number of instances: 569`."""
OPTION_NAMES = frozenset(
    """
    align alt caption class dedent delim depth emphasize-lines encoding end-before end-line
    exclude-members figclass figwidth force glob header header-rows height hidden includehidden
    inherited-members language lineno-start linenos lines local maxdepth member-order members name
    no-index no-members noindex nosignatures number-lines numbered private-members pyobject
    recursive reversed scale show-inheritance sorted special-members start-after start-line
    stub-columns synopsis target template titlesonly toctree undoc-members width widths
    """.split()  # noqa: SIM905 - a list would take 40 lines
)
"""Options of directives, which look like fields and say nothing to a reader."""
CODE_DIRECTIVES = frozenset(
    {
        "literalinclude",
        "ipython",
        "testcode",
        "doctest",
        "code",
        "code-block",
        "sourcecode",
        "parsed-literal",
        "prompt",
    }
)
OBJECTS = frozenset(
    {
        "attribute", "class", "confval", "data", "envvar", "exception", "function", "method",
        "module", "option", "setting",
    }
)  # fmt: skip
"""Directives that describe the thing they name, like a heading above their content."""
TABS = frozenset({"tab", "tab-item", "group-tab", "tabbed"})
"""Directives whose title says whom or what their content is for: Zsh, Windows, Poetry."""
TAB = re.compile(
    r"[ \t]*(?:={3}[!+]* \"(?P<quoted>[^\"]+)\"|:{3,} ?\{tab-item\} *(?P<bare>.+?))[ \t]*\Z"
)
"""The title of a tab, of MkDocs and of MyST."""
ADMONITION = re.compile(r"[ \t]*(?:!!!|\?\?\?\+?|={3})[ \t]+[\w\"].*\Z")
NOISE = re.compile(
    r"""[ \t]*(?:
        \[(?!\^)[^\]]+\]:[ ]+\S+.*      # the target of a reference
        | (?:[-*_=][ \t]*){3,}          # a rule
        | /{3,}.*                       # the border of a block
        | </?(?:details|div|section|center|article)\b[^<>]*>
        | [-+=|:]*[-=]{3,}\+[-+=|: ]*\|?  # the border of a table
        | \{[*!%].*[*!%]\}              # an inclusion
        | :{3,}.*                       # a directive of MkDocs or MyST
        | \[TOC\]
        | \([\w-]+\)=                     # a target of MyST
        | \.\.(?:[ ].*)?                # a comment, target or figure of reStructuredText
        | :[\w-]+:(?:[ ].*)?            # an option of a directive
        )\Z""",
    re.VERBOSE,
)

BREAKS = (NOISE, ADMONITION, DIRECTIVE, SUMMARY)
"""Lines without text of their own, which end a paragraph."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of a chunk: `text` is `chunk.text[start:end]`, without the line break."""

    text: str
    start: int
    end: int
    fence: re.Match[str] | None = None
    """The mark of a block of code, where the line is one."""

    @property
    def blank(self) -> bool:
        """True for a line with nothing but the mark of a quotation."""
        return not self.text.strip(" \t>")

    @property
    def indent(self) -> int:
        """Columns of white space before its text."""
        expanded = self.text.expandtabs(4)
        return len(expanded) - len(expanded.lstrip())


def lines_of(text: str, *, tildes: bool = True) -> Iterator[TextLine]:
    """Yield the lines; without `tildes`, `~~~` underlines a heading and fences no code."""
    start = 0
    for part in text.split("\n"):
        line = part.rstrip("\r")
        fence = FENCE.match(line)
        if fence and not tildes and fence["mark"].startswith("~"):
            fence = None
        yield TextLine(line, start, start + len(line), fence)
        start += len(part) + 1


def starts_in_code(lines: Sequence[TextLine]) -> bool:
    """Return True for a chunk that starts inside a fenced block whose opening fence it lacks."""
    fences = [(at, line.fence) for at, line in enumerate(lines) if line.fence]
    if len(fences) % 2 == 0 or fences[0][1]["info"].strip():
        return False
    before = [line.text for line in lines[: fences[0][0]] if not line.blank]
    later = any(found["info"].strip() for _, found in fences[1::2])
    return bool(before) and (later or is_code(before))
