"""Arrays of a branch: a tuple's items, then items of one kind, counted."""

from collections.abc import Callable
from dataclasses import dataclass

from ragkit.grammar.ebnf.expression import (
    NOTHING,
    UNBOUNDED,
    Expr,
    Lit,
    Ref,
    alt,
    less,
    rep,
    seq,
)
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
    unevaluated = [k["unevaluatedItems"] for k in found if "unevaluatedItems" in k]
    return tuple(dict.fromkeys(node or unevaluated))


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
        lo, hi = max(self.shape.lo - index, 0), less(self.shape.hi, index)
        if hi <= 0:
            return NOTHING if lo == 0 else None
        item = self.build(self.shape.items)
        if index:
            return rep(seq(Lit(","), item), lo, hi)
        more = seq(item, rep(seq(Lit(","), item), max(lo - 1, 0), less(hi, 1)))
        return alt([NOTHING if lo == 0 else None, more])

    def _containing(self) -> Expr | None:
        """Build items of which each is marked as counted for `contains` or not."""
        (pointer, least, most), *others = self.shape.contains
        if others:
            self.note("contains", "another contains in the same array is decoded")
        no = self.source.make(**{"not": pointer}) if most is not None else None
        return _Counting(self, (pointer, no), least, most).expr()

    def _distinct(self) -> Expr | None:
        """Build items of one finite set: in any order if few, else in the schema's order."""
        values = (
            self.finite(self.shape.items) if not self.shape.prefix + self.shape.contains else None
        )
        if values is None:
            return None
        texts = tuple(dict.fromkeys(map(json_text, values)))
        if len(texts) <= _MAX_PERMUTED:
            return self._any_order(texts, 0, {})
        return self._in_order(texts)

    def _any_order(
        self,
        left: tuple[str, ...],
        taken: int,
        known: dict[tuple[str, ...], Expr | None],
    ) -> Expr | None:
        if left in known:
            return known[left]
        options: list[Expr | None] = [NOTHING if taken >= self.shape.lo else None]
        for index, text in enumerate(left if taken < self.shape.hi else ()):
            rest = (*left[:index], *left[index + 1 :])
            comma = Lit(",") if taken else NOTHING
            options.append(seq(comma, Lit(text), self._any_order(rest, taken + 1, known)))
        known[left] = self.named(alt(options))
        return known[left]

    def _in_order(self, texts: tuple[str, ...]) -> Expr | None:
        """Build the texts in their order; what is counted is only what the bounds ask for."""
        lo, hi = self.shape.lo, min(self.shape.hi, len(texts))
        cap = hi if hi < len(texts) else max(lo, 1)
        after = [NOTHING if count >= lo else None for count in range(cap + 1)]
        rows: list[Expr | None] = list(after)
        for text in reversed(texts):
            rows = [
                self.named(alt([self._taken(text, rows, count, hi), rows[count]]))
                for count in range(cap + 1)
            ]
        return rows[0]

    def _taken(self, text: str, rows: list[Expr | None], count: int, hi: int) -> Expr | None:
        more = min(count + 1, len(rows) - 1)
        if count >= hi:
            return None
        # A rule of its own, and not the first part, has its token masks once for all places.
        item = self.rules.add(Lit(f",{text}" if count else text))
        return seq(self.rules.add(NOTHING), item, rows[more])

    def named(self, expr: Expr | None) -> Expr | None:
        """Make the expression a rule of its own."""
        return expr if expr is None or isinstance(expr, Ref | Lit) else self.rules.add(expr)


@dataclass(frozen=True, slots=True)
class _Counting:
    """Writes arrays that count the items of `contains`.

    `marks` are the nodes of items that count and, where there is a greatest number, of others.
    """

    array: ArrayWriter
    marks: tuple[str, str | None]
    least: int
    most: int | None

    def expr(self) -> Expr | None:
        """Build the items from the last to the first."""
        shape = self.array.shape
        is_open = shape.hi >= UNBOUNDED
        size = max(shape.lo, len(shape.prefix), 1) if is_open else shape.hi
        row = self._loops(size) if is_open else self._row(size, None)
        for index in range(size - 1, -1, -1):
            row = self._row(index, row)
        return row[0]

    @property
    def _cap(self) -> int:
        """The count at which items stop being counted."""
        return self.least if self.most is None else max(self.least, self.most)

    def _row(self, index: int, after: list[Expr | None] | None) -> list[Expr | None]:
        """Build what may follow `index` items, by the number of counted ones among them."""
        return [
            self.array.named(alt([self._end(index, count), *self._more(index, count, after)]))
            for count in range(self._cap + 1)
        ]

    def _end(self, index: int, count: int) -> Expr | None:
        return NOTHING if index >= self.array.shape.lo and count >= self.least else None

    def _more(
        self, index: int, count: int, after: list[Expr | None] | None
    ) -> tuple[Expr | None, Expr | None]:
        if after is None:
            return None, None
        array, (yes, no) = self.array, self.marks
        node = array.shape.prefix[index] if index < len(array.shape.prefix) else array.shape.items
        comma = Lit(",") if index else NOTHING
        full = self.most is not None and count >= self.most
        hit = (
            None
            if full
            else seq(comma, array.build((*node, yes)), after[min(count + 1, self._cap)])
        )
        other = array.build((*node, no) if no else node)
        return hit, seq(comma, other, after[count])

    def _loops(self, size: int) -> list[Expr | None]:
        """Build the rest of an array without a greatest number, from the highest count down."""
        found: list[Expr | None] = [None] * (self._cap + 1)
        for count in range(self._cap, -1, -1):
            loop = self.array.rules.reserve()
            after = [*found[:count], loop, *found[count + 1 :]]
            hit, other = self._more(size, count, after)
            end = self._end(size, count)
            if end is not None or (hit is not None and count < self._cap):
                self.array.rules.define(loop, alt([end, hit, other]) or NOTHING)
                found[count] = loop
        return found
