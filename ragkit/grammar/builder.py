"""The builder: nodes of a schema into branches, branches into rules for each JSON type."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ragkit.grammar.ebnf.expression import Expr, Lit, alt
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.limits import Limits
from ragkit.grammar.schema.expansion import Branch, Expander, Node
from ragkit.grammar.schema.formats import CHECKED_FORMATS
from ragkit.grammar.schema.recursion import Recursion
from ragkit.grammar.types import scalars
from ragkit.grammar.types.arrays import ArrayWriter, array_shape
from ragkit.grammar.types.choices import choices
from ragkit.grammar.types.objects import ObjectWriter, object_shape

_UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})


@dataclass(slots=True)
class Builder:
    """The rules of one schema under limits, as they are built.

    `scope` tells schemas apart that share rules.
    """

    expander: Expander
    recursion: Recursion
    limits: Limits
    rules: Rules = field(default_factory=Rules)
    scope: str = ""
    _active: set[tuple[Node, int, int]] = field(default_factory=set[tuple[Node, int, int]])

    def root(self) -> Expr | None:
        """Build the whole schema; nesting goes deeper where no shallower value exists."""
        for depth in range(self.limits.depth, self.limits.depth + 6):
            if (expr := self.node(("",), depth + 1, self.limits.depth)) is not None:
                return expr
            if not self.recursion.heads:
                break
        return None

    def node(self, node: Node, left: int, free: int) -> Expr | None:
        """Build the values of a node.

        Args:
            node: The schemas that hold together.
            left: Number of times that a cycle may still be entered.
            free: Levels that JSON of any kind may still nest.
        """
        branches = self.expander.branches(node)
        pointers = tuple(pointer for branch in branches for pointer in branch.pointers)
        if self.recursion.enters(pointers):
            left -= 1
        if left < 0:
            return None
        for branch in branches:
            self._note_unevaluated(node, branch)
        untyped = not pointers or all(len(branch.types) > 2 for branch in branches)
        free = free - 1 if untyped else free
        key = (node, left if self.recursion.leads_on(pointers) else -1, free)
        if key in self._active:
            return None
        self._active.add(key)
        try:
            return self.rules.once(
                ("node", self.scope, *key),
                lambda: alt(self.values(b, left, free) for b in branches),
            )
        finally:
            self._active.discard(key)

    def _note_unevaluated(self, node: Node, branch: Branch) -> None:
        """Record where another schema of the branch may not count as evaluating properties."""
        for path, keywords in self.expander.keywords(branch):
            for keyword in _UNEVALUATED & keywords.keys():
                found = self.expander.keywords(branch)
                foreign = any(
                    "properties" in k for p, k in found if p.startswith("~") or "/not" in p
                )
                contains = any("contains" in k for _, k in found)
                if len(node) > 1 or path != branch.pointers[0] or foreign or contains:
                    self.expander.note(path, keyword, "another schema holds for the same value")

    def values(self, branch: Branch, left: int, free: int) -> Expr | None:
        """Build the values of one branch; see `node`."""
        if branch.values is not None:
            return choices(map(json_text, branch.values), self.rules)
        excluded = self._excluded(branch)
        return alt(self._typed(branch, kind, left, free) for kind in _kinds(branch, excluded, free))

    def _excluded(self, branch: Branch) -> list[Any]:
        found = self.expander.keywords(branch)
        return [value for _, keywords in found for value in keywords.get("$except", [])]

    def _typed(self, branch: Branch, kind: str, left: int, free: int) -> Expr | None:
        found = self.expander.keywords(branch)
        match kind:
            case "string":
                for path, keywords in found:
                    if keywords.get("format") in CHECKED_FORMATS:
                        self.expander.note(path, "format", f"{keywords['format']!r} is no pattern")
                return scalars.strings(found, self.limits, self.rules)
            case "number":
                self._note_excluded(branch, (int, float))
                return scalars.numbers(found, branch.types, self.limits, self.rules)
            case "array":
                self._note_excluded(branch, (list,))
                return self._array(branch, left, free)
            case "object":
                self._note_excluded(branch, (dict,))
                return self._object(branch, left, free)
            case literal:
                return Lit(literal)

    def _note_excluded(self, branch: Branch, kinds: tuple[type, ...]) -> None:
        if any(isinstance(v, kinds) and not isinstance(v, bool) for v in self._excluded(branch)):
            self.expander.note(_path(branch), "not", "excluded numbers, arrays and objects")

    def _array(self, branch: Branch, left: int, free: int) -> Expr | None:
        found = [keywords for _, keywords in self.expander.keywords(branch)]
        return ArrayWriter(
            array_shape(found, self.limits),
            partial(self.node, left=left, free=free),
            self.rules,
            self.expander.source,
            self._finite,
            partial(self.expander.note, _path(branch)),
        ).expr()

    def _finite(self, node: Node) -> tuple[object, ...] | None:
        """Return all values of a node, or None where there are infinitely many."""
        values: list[object] = []
        for branch in self.expander.branches(node):
            if branch.values is None and not branch.types <= {"boolean", "null"}:
                return None
            simple = [True, False] if "boolean" in branch.types else []
            nulls = [None] if "null" in branch.types else []
            values.extend((*simple, *nulls) if branch.values is None else branch.values)
        return tuple(values)

    def _object(self, branch: Branch, left: int, free: int) -> Expr | None:
        found = [keywords for _, keywords in self.expander.keywords(branch)]
        shape = object_shape(found, self.expander.source, self.limits, self.expander.checker.valid)
        if shape is None:
            return None
        is_open = shape.free and any(self.expander.branches(value) for _, value in shape.entries)
        if shape.lo > max(len(shape.required), 1) and is_open:
            self.expander.note(_path(branch), "minProperties", "a free key may be repeated")
        return ObjectWriter(shape, partial(self.node, left=left, free=free), self.rules).expr()


def _path(branch: Branch) -> str:
    return next((p for p in branch.pointers if not p.startswith("~")), "")


def _kinds(branch: Branch, excluded: list[Any], free: int) -> list[str]:
    """List the kinds of value to write; arrays and objects of any kind end at the limit."""
    kinds: list[str] = []
    for kind in ("null", "boolean", "number", "string", "array", "object"):
        if kind == "boolean" and "boolean" in branch.types:
            kinds.extend(
                text for text, v in (("true", True), ("false", False)) if not _has(excluded, v)
            )
        elif (kind == "number" and branch.types & {"integer", "fraction"}) or (
            kind in branch.types and _is_allowed(kind, excluded, free)
        ):
            kinds.append(kind)
    return kinds


def _is_allowed(kind: str, excluded: list[Any], free: int) -> bool:
    return None not in excluded if kind == "null" else free >= 0 or kind == "string"


def _has(values: list[Any], value: bool) -> bool:
    return any(found is value for found in values)
