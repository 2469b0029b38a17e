"""A strict parser of GBNF, after llama.cpp's `llama_grammar_parser`."""

import re
from dataclasses import dataclass, field

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_CHAR = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\\"\[\]-])|[^\\]")
_TIMES = re.compile(r"\{(\d+)(,?)(\d*)\}")
_MOST = 2000


def check_gbnf(text: str) -> None:
    """Raise ValueError for a grammar that llama.cpp refuses, or reads as another one."""
    parser = _Parser()
    for line in filter(None, text.split("\n")):
        name = parser.name(line, 0)
        end = len(name)
        if line[end : end + 5] != " ::= ":
            raise ValueError(f"expecting ::= at {line[end:]!r:.40}")
        parser.defined.add(name)
        parser.symbols.add(name)
        end = parser.alternatives(line, end + 5)
        if end != len(line):
            raise ValueError(f"expecting newline or end at {line[end:]!r:.40}")
    if unknown := parser.used - parser.defined:
        raise ValueError(f"Undefined rule identifier {min(unknown)!r}")
    if "root" not in parser.defined:
        raise ValueError("no root")


@dataclass
class _Parser:
    defined: set[str] = field(default_factory=set[str])
    used: set[str] = field(default_factory=set[str])
    symbols: set[str] = field(default_factory=set[str])

    def name(self, line: str, start: int) -> str:
        found = _NAME.match(line, start)
        if found is None:
            raise ValueError(f"expecting name at {line[start:]!r:.40}")
        return found[0]

    def alternatives(self, line: str, start: int) -> int:
        end = self.sequence(line, start)
        while line[end : end + 1] == "|":
            end = self.sequence(line, _spaces(line, end + 1))
        return end

    def sequence(self, line: str, start: int) -> int:
        place, parts, empty = start, 1, True
        while place < len(line):
            char = line[place]
            if char in '"[':
                place, parts, empty = self.characters(line, place), 1, False
            elif _NAME.match(char):
                name = self.name(line, place)
                self.used.add(name)
                self.symbols.add(name)
                place, parts, empty = place + len(name), 1, False
            elif char == "(":
                before = len(self.symbols)
                self.symbols.add(f"group {len(self.symbols)}")
                place = self.alternatives(line, _spaces(line, place + 1))
                if line[place : place + 1] != ")":
                    raise ValueError(f"expecting ')' at {line[place:]!r:.40}")
                place, parts, empty = place + 1, max(1, len(self.symbols) - before), False
            elif char in "*+?{":
                if empty:
                    raise ValueError("expecting preceding item to */+/?/{")
                place, times = _times(line, place)
                if parts * times >= _MOST:
                    raise ValueError("the repetition exceeds sane defaults")
                parts *= times
            else:
                return place
            place = _spaces(line, place)
        return place

    def characters(self, line: str, start: int) -> int:
        end, place = {'"': '"', "[": "]"}[line[start]], start + 1
        while line[place : place + 1] != end:
            found = _CHAR.match(line, place)
            if found is None:
                raise ValueError(f"unknown escape or end at {line[place:]!r:.40}")
            place = found.end()
        return place + 1


def _times(line: str, place: int) -> tuple[int, int]:
    if line[place] != "{":
        return place + 1, 1
    found = _TIMES.match(line, place)
    if found is None:
        raise ValueError(f"expecting an int at {line[place:]!r:.40}")
    low, high = int(found[1]), int(found[3] or found[1])
    if max(low, high) > _MOST:
        raise ValueError("a bound of more than 2,000 is read as none")
    return found.end(), max(low, high, 1)


def _spaces(line: str, place: int) -> int:
    while line[place : place + 1] == " ":
        place += 1
    return place
