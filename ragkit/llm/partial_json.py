"""Reading the strings of a JSON text while it still arrives."""

from dataclasses import dataclass, field
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_HIGH = range(0xD800, 0xDC00)
_LOW = range(0xDC00, 0xE000)


@dataclass(slots=True)
class _OpenContainer:
    """An open object (its current key) or array (its current index)."""

    at: str | int
    wants_key: bool


@dataclass(slots=True)
class FieldReader:
    r"""Reads a JSON text in pieces and returns the pieces of its string values, with their paths.

    Numbers and literals are skipped, and nothing is checked: grammars do that.

    Example:
        >>> reader = FieldReader()
        >>> reader.feed('{"thought":"Let')
        [(('thought',), 'Let')]
        >>> reader.feed(' me\\nsee"}')
        [(('thought',), ' me\n see')]
    """

    _stack: list[_OpenContainer] = field(default_factory=list[_OpenContainer])
    _inside: bool = False
    _key: bool = False
    _text: list[str] = field(default_factory=list[str])
    _escape: str = ""
    _high: int = 0

    def feed(self, piece: str) -> list[tuple[Path, str]]:
        """Read a further piece; return the strings that it continued, in order."""
        found: list[tuple[Path, str]] = []
        for char in piece:
            if self._inside:
                self._in_string(char, found)
            else:
                self._between(char)
        if self._inside and not self._key:
            self._flush(found)
        return found

    def _flush(self, found: list[tuple[Path, str]]) -> None:
        if self._text:
            found.append((tuple(frame.at for frame in self._stack), "".join(self._text)))
            self._text = []

    def _between(self, char: str) -> None:
        if char == '"':
            self._inside = True
            self._key = bool(self._stack) and self._stack[-1].wants_key
        elif char in "{[":
            self._stack.append(_OpenContainer(at="" if char == "{" else 0, wants_key=char == "{"))
        elif char in "}]" and self._stack:
            self._stack.pop()
        elif char == "," and self._stack:
            top = self._stack[-1]
            if isinstance(top.at, int):
                top.at += 1
            else:
                top.wants_key = True

    def _in_string(self, char: str, found: list[tuple[Path, str]]) -> None:
        if self._escape:
            self._in_escape(char)
        elif char == "\\":
            self._escape = char
        elif char != '"':
            self._text.append(char)
        else:
            self._close(found)

    def _close(self, found: list[tuple[Path, str]]) -> None:
        self._inside = False
        if not self._key:
            self._flush(found)
            return
        top = self._stack[-1]
        top.at, top.wants_key = "".join(self._text), False
        self._text = []

    def _in_escape(self, char: str) -> None:
        self._escape += char
        if self._escape[1] != "u":
            self._text.append(_ESCAPES.get(char, char))
            self._escape = ""
        elif len(self._escape) == 6:
            self._unit(int(self._escape[2:], 16))
            self._escape = ""

    def _unit(self, unit: int) -> None:
        """Add a UTF-16 code unit; two make one character beyond the basic plane."""
        if unit in _HIGH:
            self._high = unit
        elif unit in _LOW and self._high:
            self._text.append(chr(0x10000 + ((self._high - 0xD800) << 10) + unit - 0xDC00))
            self._high = 0
        elif unit not in _LOW:
            self._text.append(chr(unit))
