"""Handovers: the values that one agent passes to another whose run belongs to its own."""

from langgraph.config import get_config

from ragkit.agents.state import Inherited


class Handover:
    """The values that one agent passes to another, in the configuration of its run.

    Clients of a graph cannot make one: only an instance counts, and only once. Every graph below
    sees the configuration; the values are for the one that the node which made them calls.
    """

    KEY = "ragkit_handover"

    def __init__(self, inherited: Inherited) -> None:
        """Hold the values for a graph that the node at work calls."""
        self._inherited: Inherited | None = inherited
        self._made_in = _nodes_at_work()

    @classmethod
    def received(cls) -> Inherited | None:
        """Take the values for the run whose first node calls this, if it has any."""
        given: object = get_config().get("configurable", {}).get(cls.KEY)
        return given.take() if isinstance(given, cls) else None

    def take(self) -> Inherited | None:
        """Return the values, once, within the first node of the graph that they are for."""
        if _nodes_at_work()[:-1] != self._made_in:
            return None
        taken, self._inherited = self._inherited, None
        return taken


def _nodes_at_work() -> list[str]:
    """Return the names of the nodes that are at work, each within the one before."""
    place = str(get_config().get("configurable", {}).get("checkpoint_ns", ""))
    # Numbers are LangGraph's own: they count the graphs that one node calls.
    return [level.split(":")[0] for level in place.split("|") if level and not level.isdigit()]
