"""The rules of a grammar under construction, each made once for its key and once for its text."""

from collections.abc import Callable, Hashable

from ragkit.grammar.ebnf.expression import Expr, Ref, text

_MAX_RULES = 60_000


class TooManyRulesError(ValueError):
    """The grammar would become too large to compile."""


class Rules:
    """Named rules; the same key gives the same rule."""

    def __init__(self, *, measuring: bool = False) -> None:
        """Start without rules.

        Args:
            measuring: Whether only the length of the longest text is asked for.
        """
        self.measuring = measuring
        self.exprs: dict[str, Expr] = {}
        self._known: dict[Hashable, Ref | None] = {}
        self.texts: dict[str, str] = {}
        self._names: dict[str, Ref] = {}
        self._reserved = 0

    def fresh(self) -> "Rules":
        """Return rules for the same purpose, as yet empty."""
        return Rules(measuring=self.measuring)

    def once(self, key: Hashable, make: Callable[[], Expr | None]) -> Ref | None:
        """Return the rule for the key, or None if its language is empty.

        `make` must not ask for the same key.
        """
        if key not in self._known:
            expr = make()
            self._known[key] = expr if expr is None or isinstance(expr, Ref) else self.add(expr)
        return self._known[key]

    def add(self, expr: Expr) -> Ref:
        """Return the rule of this text, made if missing."""
        said = text(expr)
        if said not in self._names:
            self._names[said] = self.reserve()
            self.define(self._names[said], expr)
        return self._names[said]

    def reserve(self) -> Ref:
        """Return a name for a rule that refers to itself; `define` must follow."""
        self._reserved += 1
        if self._reserved > _MAX_RULES:
            raise TooManyRulesError
        return Ref(f"r{self._reserved - 1}")

    def define(self, ref: Ref, expr: Expr) -> None:
        """Set the expression of a reserved name."""
        self.exprs[ref.name], self.texts[ref.name] = expr, text(expr)
