"""The heading and the question that a reader of a text is under."""

from dataclasses import dataclass, field

from ragkit.answering.paragraph import asks


@dataclass(frozen=True, slots=True)
class _Level:
    """A tab, or an item with items under it: the heading from before holds again after it.

    The indent is -1 for a tab that ends with colons.
    """

    indent: int
    heading: str


@dataclass(slots=True)
class OpenHeadings:
    """The headings of a text as it is read.

    Attributes:
        heading: The innermost one.
        question: The question that what comes next answers, empty for none.
    """

    heading: str
    question: str = ""
    _levels: list[_Level] = field(default_factory=list[_Level])
    _restored: str | None = None
    _block: int | None = None
    _is_brief: bool = False

    def begin_section(self, heading: str, *, answered: bool) -> None:
        """Enter a section; where its heading asks and is `answered`, all of it is the answer."""
        self._levels.clear()
        self._restored, self._is_brief = None, False
        self.heading = heading
        self.question = heading if answered and asks(heading) else ""

    def name(self, title: str) -> None:
        """Enter the entry of what a text describes, within the tab that it stands in."""
        self.end_answer()
        self.heading, self.question = title, ""

    def enter(self, title: str, indent: int) -> None:
        """Enter a tab under the heading from before it."""
        while self._levels and (self._levels[-1].indent < 0 or self._levels[-1].indent >= indent):
            self._leave()
        self._levels.append(_Level(indent, self.heading))
        self.heading = f"{self.heading}: {title}" if self.heading else title

    def ask_above(self, question: str, indent: int) -> None:
        """Enter the items under one that asks."""
        self.end_answer()
        self._levels.append(_Level(indent, self.heading))
        self.heading = self.question = question

    def leave(self, indent: int, text: str) -> None:
        """Leave what is no less indented than a line, or what the line closes with colons."""
        if self._levels and self._levels[-1].indent < 0 and not text.strip(" \t:"):
            self._leave()
        while self._levels and self._levels[-1].indent >= max(indent, 0):
            self._leave()

    def ask(self, question: str) -> None:
        """Put the next block of text, and no more, under a question."""
        self.end_answer()
        self._restored, self._block, self._is_brief = self.heading, None, True
        self.heading = self.question = question

    def reach(self, block: int) -> None:
        """Note the block of the next unit: the answer to a question in the text is one block."""
        if self._is_brief and self._block is None:
            self._block = block
        elif self._is_brief and self._block != block:
            self.end_answer()

    def end_answer(self) -> None:
        """End the answer to a question in the text."""
        if self._is_brief:
            self.heading, self.question = self._restored or "", ""
            self._restored, self._is_brief = None, False

    def _leave(self) -> None:
        self.end_answer()
        self.heading, self.question = self._levels.pop().heading, ""
