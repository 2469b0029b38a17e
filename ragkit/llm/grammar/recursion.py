"""Where a schema refers back to itself, so that nesting can be counted and bounded."""

from ragkit.llm.grammar.source import Source, children


class Recursion:
    """The heads of a schema's cycles, and which schemas lead to one."""

    def __init__(self, source: Source, root: str = "") -> None:
        """Walk all schemas that can be reached from the root."""
        self._source = source
        self.heads: set[str] = set()
        self._order: list[str] = []
        self._walk(root)
        self.leads = self._leading()

    def _walk(self, root: str) -> None:
        active, done = {root}, set[str]()
        stack = [(root, list(children(self._source.keywords(root))))]
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
        """Whether the schemas can nest in themselves; made-up ones are taken to."""
        return bool(self.heads) and any(p in self.leads or p.startswith("~") for p in pointers)

    def enters(self, pointers: tuple[str, ...]) -> bool:
        """Whether a cycle is entered here."""
        return any(pointer in self.heads for pointer in pointers)
