"""Arrays of a branch: a tuple's items, then items of one kind, counted."""

from collections.abc import Callable
from dataclasses import dataclass

from ragkit.grammar.ebnf.expression import NOTHING, Expr, Lit, alt, rep, seq
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.document import Keywords, Source
from ragkit.grammar.schema.expansion import Node
from ragkit.grammar.types.objects import Build

_MAX_PERMUTED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """The constraints of an array.

    Attributes:
        prefix: Nodes of the first items.
        items: Node of the items after them.
        lo: Least number of items.
        hi: Greatest number of items.
        contains: (pointer, least, greatest or None) of items that must be among them.
        unique: Whether items must differ.
    """

    prefix: tuple[Node, ...]
    items: Node
    lo: int
    hi: int
    contains: tuple[tuple[str, int, int | None], ...]
    unique: bool


def array_shape(found: list[Keywords], limits: Limits) -> ArrayShape:
    """Gather the array keywords of a branch."""
    length = max((len(keywords.get("prefixItems", [])) for keywords in found), default=0)
    lo = max((int(keywords.get("minItems", 0)) for keywords in found), default=0)
    highest = [int(keywords["maxItems"]) for keywords in found if "maxItems" in keywords]
    contains = tuple(
        (k["contains"], int(k.get("minContains", 1)), _whole(k.get("maxContains")))
        for k in found
        if "contains" in k
    )
    ceiling = max(lo, limits.items, length, *(least for _, least, _ in contains), 0)
    return ArrayShape(
        prefix=tuple(_item_node(found, index) for index in range(length)),
        items=_item_node(found, length),
        lo=lo,
        hi=min([ceiling, *highest]),
        contains=contains,
        unique=any(keywords.get("uniqueItems") is True for keywords in found),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _item_node(found: list[Keywords], index: int) -> Node:
    node: list[str] = []
    for keywords in found:
        prefix = keywords.get("prefixItems", [])
        if index < len(prefix):
            node.append(prefix[index])
        elif "items" in keywords:
            node.append(keywords["items"])
    return tuple(dict.fromkeys(node))


@dataclass(frozen=True, slots=True)
class ArrayWriter:
    """Writes the arrays of one shape."""

    shape: ArrayShape
    build: Build
    rules: Rules
    source: Source
    finite: Callable[[Node], tuple[object, ...] | None]
    note: Callable[[str, str], None]

    def expr(self) -> Expr | None:
        """Build the arrays; None where none exist."""
        shape = self.shape
        if shape.hi < shape.lo:
            return None
        if shape.unique and shape.hi > 1:
            distinct = self._distinct()
            if distinct is not None:
                return seq(Lit("["), distinct, Lit("]"))
            self.note("uniqueItems", "items are not from one finite set")
        return seq(Lit("["), self._containing() if shape.contains else self._plain(), Lit("]"))

    def _plain(self) -> Expr | None:
        after: Expr | None = self._tail(len(self.shape.prefix))
        for index in range(len(self.shape.prefix) - 1, -1, -1):
            comma = Lit(",") if index else NOTHING
            taken = seq(comma, self.build(self.shape.prefix[index]), after)
            end = NOTHING if index >= self.shape.lo else None
            after = alt([end, taken if index < self.shape.hi else None])
        return after

    def _tail(self, index: int) -> Expr | None:
        """Build the items from this index on, each after a comma unless it is the first."""
        lo, hi = max(self.shape.lo - index, 0), self.shape.hi - index
        if hi <= 0:
            return NOTHING if lo == 0 else None
        item = self.build(self.shape.items)
        if index:
            return rep(seq(Lit(","), item), lo, hi)
        more = seq(item, rep(seq(Lit(","), item), max(lo - 1, 0), hi - 1))
        return alt([NOTHING if lo == 0 else None, more])

    def _containing(self) -> Expr | None:
        """Build items of which each is marked as counted for `contains` or not."""
        (pointer, least, most), *others = self.shape.contains
        if others:
            self.note("contains", "another contains in the same array is decoded")
        no = self.source.make(**{"not": pointer}) if most is not None else None
        known: dict[tuple[int, int], Expr | None] = {}
        for index in range(self.shape.hi, -1, -1):
            node = self.shape.prefix[index] if index < len(self.shape.prefix) else self.shape.items
            for count in range(min(index, self._cap(least, most)), -1, -1):
                known[index, count] = self._counted(known, (index, count), node, (pointer, no))
        return known[0, 0]

    def _cap(self, least: int, most: int | None) -> int:
        return least if most is None else most + 1

    def _counted(
        self,
        known: dict[tuple[int, int], Expr | None],
        at: tuple[int, int],
        node: Node,
        marks: tuple[str, str | None],
    ) -> Expr | None:
        (index, count), (yes, no) = at, marks
        _, least, most = self.shape.contains[0]
        if most is not None and count > most:
            return None
        end = NOTHING if index >= self.shape.lo and count >= least else None
        if index >= self.shape.hi:
            return end
        comma = Lit(",") if index else NOTHING
        more = min(count + 1, self._cap(least, most))
        hit = seq(comma, self.build((*node, yes)), known[index + 1, more])
        other = self.build((*node, no) if no else node)
        found = alt([end, hit, seq(comma, other, known[index + 1, count])])
        return None if found is None else self.rules.add(found)

    def _distinct(self) -> Expr | None:
        """Build items of one finite set: in any order if few, else in the schema's order."""
        values = (
            self.finite(self.shape.items) if not self.shape.prefix + self.shape.contains else None
        )
        if values is None:
            return None
        texts = tuple(dict.fromkeys(map(json_text, values)))
        known: dict[tuple[tuple[str, ...], int], Expr | None] = {}
        return self._pick(texts, 0, known)

    def _pick(
        self,
        left: tuple[str, ...],
        taken: int,
        known: dict[tuple[tuple[str, ...], int], Expr | None],
    ) -> Expr | None:
        if (left, taken) in known:
            return known[left, taken]
        options: list[Expr | None] = [NOTHING if taken >= self.shape.lo else None]
        if taken < self.shape.hi:
            any_order = len(left) + taken <= _MAX_PERMUTED
            for index, text in enumerate(left):
                rest = (*left[:index], *left[index + 1 :]) if any_order else left[index + 1 :]
                comma = Lit(",") if taken else NOTHING
                options.append(seq(comma, Lit(text), self._pick(rest, taken + 1, known)))
        found = alt(options)
        known[left, taken] = found if found is None else self.rules.add(found)
        return known[left, taken]
