"""The cycles of a schema, so that nesting can be counted and bounded."""

from collections.abc import Iterator

from ragkit.grammar.schema.document import Source, UnsupportedSchemaError, children
from ragkit.grammar.schema.keywords import IN_PLACE


class Recursion:
    """The heads of a schema's cycles, and which schemas lead to one."""

    def __init__(self, source: Source) -> None:
        """Walk all schemas that can be reached from the document's root.

        Raises:
            UnsupportedSchemaError: A schema refers to itself for the same value, which never ends.
        """
        self._source = source
        self.heads: set[str] = set()
        self._order: list[str] = []
        self._walk()
        self._refuse_loops()
        self.leads = self._leading()

    def _walk(self) -> None:
        active, done = {""}, set[str]()
        stack = [("", list(children(self._source.keywords(""))))]
        while stack:
            pointer, waiting = stack[-1]
            if not waiting:
                stack.pop()
                active.discard(pointer)
                done.add(pointer)
                self._order.append(pointer)
                continue
            child = waiting.pop(0)
            if child in active:
                self.heads.add(child)
            elif child not in done:
                active.add(child)
                stack.append((child, list(children(self._source.keywords(child)))))

    def _refuse_loops(self) -> None:
        inside = {pointer: set(self._in_place(pointer)) for pointer in self._order}
        while ended := [pointer for pointer, found in inside.items() if not found & inside.keys()]:
            for pointer in ended:
                del inside[pointer]
        for pointer in inside:
            reason = "it leads back to itself for the same value"
            raise UnsupportedSchemaError(pointer, "$ref", reason)

    def _in_place(self, pointer: str) -> Iterator[str]:
        keywords = self._source.keywords(pointer)
        if not isinstance(keywords, bool):
            yield from children({k: v for k, v in keywords.items() if k in IN_PLACE})

    def _leading(self) -> set[str]:
        found = set(self.heads)
        changed = bool(found)
        while changed:
            changed = False
            for pointer in self._order:
                kids = children(self._source.keywords(pointer))
                if pointer not in found and any(child in found for child in kids):
                    found.add(pointer)
                    changed = True
        return found

    def leads_on(self, pointers: tuple[str, ...]) -> bool:
        """Return whether the schemas can nest in themselves; synthetic ones are assumed to."""
        return bool(self.heads) and any(p in self.leads or p.startswith("~") for p in pointers)

    def enters(self, pointers: tuple[str, ...]) -> bool:
        """Return whether a cycle is entered here."""
        return any(pointer in self.heads for pointer in pointers)
