"""Expansion of conjunctions of schemas into branches without alternatives.

A node is a tuple of pointers that hold together. A branch is a tuple of pointers too, with every
reference, `allOf` and one choice of every alternative already followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, TypeAlias

from ragkit.core.errors import InputError
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.schema.check import Checker
from ragkit.grammar.schema.document import Keywords, Source
from ragkit.grammar.schema.keywords import Finding, is_assertion
from ragkit.grammar.schema.negation import TYPES, Alternatives, expand_types, negate
from ragkit.grammar.schema.values import Json, is_array

Node: TypeAlias = tuple[str, ...]
_MAX_BRANCHES = 4000
_MAX_PAIRWISE = 40
_MAX_TRIED = 128
_MAX_KEPT = 16
_PROBE_DEPTH = 3
_MAX_PROBING = 6
"""Recursive schemas have overlaps within overlaps without end."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A conjunction without alternatives. `values` is None without an enum or const."""

    pointers: Node
    types: frozenset[str]
    values: tuple[Json, ...] | None


@dataclass(slots=True)
class Expander:
    """Expands nodes into branches, and records what can only be checked after decoding."""

    source: Source
    checker: Checker
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict[tuple[str, str], Finding])
    _probing: int = 0
    _known: dict[Node, tuple[Branch, ...]] = field(default_factory=dict[Node, tuple[Branch, ...]])

    def branches(self, node: Node) -> tuple[Branch, ...]:
        """Return the branches of a node that some value may satisfy."""
        if node not in self._known:
            found: dict[Node, Branch] = {}
            for count, pointers in enumerate(self._flatten(list(node), ())):
                if count > _MAX_BRANCHES:
                    raise InputError(
                        f"The schema at {node[0] or '/'!r} combines more than {_MAX_BRANCHES} "
                        "alternatives. Fix: use fewer anyOf and oneOf inside allOf."
                    )
                if branch := self._branch(pointers):
                    found[pointers] = branch
            self._known[node] = tuple(found.values())
        return self._known[node]

    def note(self, path: str, keyword: str, reason: str) -> None:
        """Record a keyword that is only checked after decoding."""
        finding = Finding(path=path, keyword=keyword, treatment="checked", reason=reason)
        self.findings[path, keyword] = finding

    def keywords(self, branch: Branch) -> list[tuple[str, Keywords]]:
        """Return the keywords of every schema of a branch."""
        found = ((pointer, self.source.keywords(pointer)) for pointer in branch.pointers)
        return [
            (pointer, keywords) for pointer, keywords in found if not isinstance(keywords, bool)
        ]

    def _flatten(self, todo: list[str], done: Node) -> Iterator[Node]:
        while todo and (todo[0] in done or self.source.keywords(todo[0]) is True):
            todo = todo[1:]
        if not todo:
            yield done
            return
        pointer, *rest = todo
        keywords = self.source.keywords(pointer)
        if isinstance(keywords, bool):
            return
        inside = [*([keywords["$ref"]] if "$ref" in keywords else []), *keywords.get("allOf", [])]
        now = (*done, pointer)
        if done and self._contradicts(now):
            return
        for choice in _product(list(self._choices(pointer, keywords))):
            yield from self._flatten([*inside, *choice, *rest], now)

    def _contradicts(self, pointers: Node) -> bool:
        """Return whether a property is required that is forbidden or has no value left."""
        found = [k for k in map(self.source.keywords, pointers) if not isinstance(k, bool)]
        typed = [expand_types(keywords["type"]) for keywords in found if "type" in keywords]
        if not typed or typed[0].intersection(*typed[1:]) != frozenset({"object"}):
            return False
        required = {name for k in found if is_array(k.get("required")) for name in k["required"]}
        forbidden = {name for keywords in found for name in keywords.get("$forbid", [])}
        if required & forbidden:
            return True
        declared = [keywords.get("properties", {}) for keywords in found]
        return any(
            self._has_no_value([properties[name] for properties in declared if name in properties])
            for name in required
        )

    def _has_no_value(self, children: list[str]) -> bool:
        """Return whether the lists of values of the schemas have none in common."""
        lists: list[set[str]] = []
        excluded: set[str] = set()
        for keywords in map(self.source.keywords, children):
            if not isinstance(keywords, bool):
                excluded.update(map(json_text, keywords.get("$except", [])))
                if "enum" in keywords or "const" in keywords:
                    values = keywords["enum"] if "enum" in keywords else [keywords["const"]]
                    lists.append(set(map(json_text, values)))
        return bool(lists) and not lists[0].intersection(*lists[1:]) - excluded

    def _choices(self, pointer: str, keywords: Keywords) -> Iterator[Alternatives]:
        if "anyOf" in keywords:
            yield [(child,) for child in keywords["anyOf"]]
        if "oneOf" in keywords:
            yield self._one_of(pointer, keywords["oneOf"])
        if "not" in keywords:
            yield self._not(pointer, keywords["not"])
        if "if" in keywords and ("then" in keywords or "else" in keywords):
            yield self._conditional(pointer, keywords)
        for name, names in keywords.get("dependentRequired", {}).items():
            need = self.source.make(type=["object"], required=[name, *names])
            yield [*self._without(name), (need,)]
        for name, child in keywords.get("dependentSchemas", {}).items():
            need = self.source.make(type=["object"], required=[name])
            yield [*self._without(name), (need, child)]

    def _without(self, name: str) -> Alternatives:
        others = [kind for kind in TYPES if kind != "object"]
        forbid = self.source.make(**{"type": ["object"], "$forbid": [name]})
        return [(self.source.make(type=others),), (forbid,)]

    def _not(self, pointer: str, child: str) -> Alternatives:
        alternatives = negate(self.source, child)
        if alternatives or self._accepts_all(child):
            return alternatives
        self.note(pointer, "not", "its schema cannot be negated keyword by keyword")
        return [()]

    def _accepts_all(self, pointer: str) -> bool:
        keywords = self.source.keywords(pointer)
        return keywords is True or (keywords is not False and not any(map(is_assertion, keywords)))

    def _conditional(self, pointer: str, keywords: Keywords) -> Alternatives:
        then = (keywords["if"], *([keywords["then"]] if "then" in keywords else []))
        other = (keywords["else"],) if "else" in keywords else ()
        denied = negate(self.source, keywords["if"])
        if not denied and not self._accepts_all(keywords["if"]):
            self.note(pointer, "if", "its schema cannot be negated, so `else` is never taken")
        return [then, *(alternative + other for alternative in denied)]

    def _one_of(self, pointer: str, children: list[str]) -> Alternatives:
        if self._discriminated(children):
            return [(child,) for child in children]
        return [option for child in children for option in self._alone(pointer, child, children)]

    def _alone(self, pointer: str, child: str, children: list[str]) -> Alternatives:
        """Return the alternatives of this branch of a oneOf that no other branch accepts."""
        others = [
            other for other in children if other != child and self._overlap(child, other, children)
        ]
        if any(map(self._accepts_all, others)):
            return []
        denials = [
            sorted(
                [*negate(self.source, other), *self._beyond(child, other)],
                key=lambda option: not self._forbids_foreign(option, child),
            )
            for other in others
        ]
        if all(denials) and (found := self._excluding(child, denials)) is not None:
            return found
        self.note(pointer, "oneOf", "its branches may overlap")
        return [(child,)]

    def _forbids_foreign(self, alternative: Node, child: str) -> bool:
        """Return whether it only forbids names unknown to the child, which is tried first."""
        own: Any = self.source.keywords(child)
        found: list[Any] = [self.source.keywords(pointer) for pointer in alternative]
        names = {name for made in found if made is not True for name in made.get("$forbid", [])}
        known = (
            () if isinstance(own, bool) else {*own.get("properties", {}), *own.get("required", [])}
        )
        return bool(names) and names.isdisjoint(known)

    def _excluding(self, child: str, denials: list[Alternatives]) -> Alternatives | None:
        """Combine the child with one alternative of each denial; None if too many are cut off."""
        found: Alternatives = [(child,)]
        cut = False
        for alternatives in denials:
            tried = [left + right for left, right in product(found, alternatives)]
            possible = (c for c in tried[:_MAX_TRIED] if not self._impossible(c, _PROBE_DEPTH))
            found = list(islice(possible, _MAX_KEPT))
            cut = cut or len(tried) > _MAX_TRIED or len(found) == _MAX_KEPT
        return found if found or not cut else None

    def _beyond(self, child: str, other: str) -> Alternatives:
        """Return alternatives with a property of the child that the other forbids."""
        mine, theirs = self.source.keywords(child), self.source.keywords(other)
        if isinstance(mine, bool) or isinstance(theirs, bool) or "patternProperties" in theirs:
            return []
        if self.source.keywords(theirs.get("additionalProperties", "~true")) is not False:
            return []
        names = [n for n in mine.get("properties", {}) if n not in theirs.get("properties", {})]
        return [(self.source.make(type=["object"], required=[name]),) for name in names]

    def _overlap(self, left: str, right: str, siblings: list[str]) -> bool:
        return len(siblings) > _MAX_PAIRWISE or not self._impossible((left, right), _PROBE_DEPTH)

    def _discriminated(self, children: list[str]) -> bool:
        """Return whether one required property has a different constant in every branch."""
        tables = [self._constants(child) for child in children]
        names = tables[0].keys() if tables else ()
        shared = [name for name in names if all(name in table for table in tables)]
        return any(len({table[name] for table in tables}) == len(tables) for name in shared)

    def _constants(self, pointer: str, depth: int = 4) -> dict[str, str]:
        keywords = self.source.keywords(pointer)
        if isinstance(keywords, bool) or not depth:
            return {}
        if "$ref" in keywords:
            return self._constants(keywords["$ref"], depth - 1)
        properties = keywords.get("properties", {})
        if keywords.get("type") != "object":
            return {}
        return {
            name: repr(value)
            for name in keywords.get("required", [])
            if name in properties and (value := self._constant(properties[name])) is not None
        }

    def _constant(self, pointer: str) -> Json:
        keywords = self.source.keywords(pointer)
        if isinstance(keywords, bool):
            return None
        values = keywords.get("enum", [keywords.get("const")])
        return values[0] if len(values) == 1 else None

    def _impossible(self, node: Node, depth: int) -> bool:
        """Return whether certainly no value satisfies the node."""
        if self._probing >= _MAX_PROBING:
            return False
        self._probing += 1
        try:
            return all(self._dead(branch, depth) for branch in self.branches(node))
        finally:
            self._probing -= 1

    def _dead(self, branch: Branch, depth: int) -> bool:
        if branch.values is not None or branch.types != frozenset({"object"}) or not depth:
            return False
        found = [keywords for _, keywords in self.keywords(branch)]
        needed = {name for keywords in found for name in keywords.get("required", [])}
        forbidden = {name for keywords in found for name in keywords.get("$forbid", [])}
        if needed & forbidden:
            return True
        return any(self._impossible(_child(found, name), depth - 1) for name in needed)

    def _branch(self, pointers: Node) -> Branch | None:
        types = frozenset(TYPES)
        listed: tuple[str, str] | None = None
        for pointer in pointers:
            keywords = self.source.keywords(pointer)
            if isinstance(keywords, bool):
                continue
            if "type" in keywords:
                types &= expand_types(keywords["type"])
            if listed is None and ("enum" in keywords or "const" in keywords):
                listed = (pointer, "enum" if "enum" in keywords else "const")
        if listed is not None:
            kept = self._kept(pointers, *listed)
            return Branch(pointers, types, kept) if kept else None
        return Branch(pointers, types, None) if types else None

    def _kept(self, pointers: Node, lister: str, keyword: str) -> tuple[Json, ...]:
        """Return the listed values that satisfy all other keywords."""
        keywords: Any = self.source.keywords(lister)
        values = keywords["enum"] if keyword == "enum" else [keywords["const"]]
        checks = [
            self.checker.test(pointer, without=keyword if pointer == lister else "")
            for pointer in pointers
        ]
        return tuple(value for value in values if all(check(value) for check in checks))


def _child(found: list[Keywords], name: str) -> Node:
    """Return the schemas of a property by `properties` and `additionalProperties`."""
    node: list[str] = []
    for keywords in found:
        properties = keywords.get("properties", {})
        if name in properties:
            node.append(properties[name])
        elif "patternProperties" not in keywords and "additionalProperties" in keywords:
            node.append(keywords["additionalProperties"])
    return tuple(node)


def _product(choices: list[Alternatives]) -> Iterator[tuple[str, ...]]:
    if not choices:
        yield ()
        return
    for option in choices[0]:
        for rest in _product(choices[1:]):
            yield option + rest
