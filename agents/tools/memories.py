"""Tools by which an agent remembers facts and recalls them in later conversations."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ragkit.agents.tools.function import tool
from ragkit.core.errors import ToolError
from ragkit.core.types import stable_id

if TYPE_CHECKING:
    from langgraph.runtime import Runtime
    from langgraph.store.base import BaseStore

    from ragkit.core.protocols import Tool

Namespace: TypeAlias = tuple[str, ...] | Callable[[Any], tuple[str, ...]]
"""The namespace of memories, or a function of the run's context that gives it."""


def memory_tools(
    store: "BaseStore | None" = None, *, namespace: Namespace = ("memories",), k: int = 5
) -> "list[Tool]":
    """Make the tools `remember` (which writes) and `recall`.

    What is recalled is untrusted text, as all results of tools: an earlier conversation may have
    taken it from a document.

    Args:
        store: A store, such as `RagkitStore`; where left out, the one of the agent's graph.
        namespace: The place of the memories; with a function of the run's context, such as
            `lambda session: ("users", session.user)`, each user has their own.
        k: Memories that `recall` returns, at most.
    """

    def place() -> "tuple[BaseStore, tuple[str, ...]]":
        from langgraph.runtime import get_runtime

        runtime: Runtime[Any] | None = None
        if store is None or callable(namespace):
            try:
                runtime = get_runtime()
            except (RuntimeError, KeyError) as error:
                raise ToolError(
                    "Memories need a run. Fix: call the tool in an agent's run."
                ) from error
        kept = store or (runtime.store if runtime else None)
        if kept is None:
            raise ToolError(
                "There is no store of memories. Fix: pass a store to memory_tools, or the agent."
            )
        context = runtime.context if runtime else None
        return kept, namespace(context) if callable(namespace) else namespace

    @tool(permission="write", idempotent=True)
    async def remember(fact: str) -> str:
        """Remember a fact for later conversations.

        Args:
            fact: A sentence that can be understood by itself.
        """
        if not fact.strip():
            raise ToolError(f"A memory needs a text, got {fact!r}.")
        kept, where = place()
        await kept.aput(where, stable_id(fact), {"text": fact})
        return "Remembered."

    @tool
    async def recall(query: str) -> list[str]:
        """Recall facts from earlier conversations.

        Args:
            query: What the facts are about.
        """
        kept, where = place()
        found = await kept.asearch(where, query=query, limit=k)
        return [str(item.value.get("text", item.value)) for item in found]

    return [cast("Tool", remember), cast("Tool", recall)]
