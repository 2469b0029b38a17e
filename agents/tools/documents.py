"""`search_documents`: an index as a tool, with passages that can be cited."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from ragkit.agents.tools.function import tool
from ragkit.agents.tools.function.runner import tool_result
from ragkit.core.filters import Filter
from ragkit.core.protocols import Tool
from ragkit.core.types import Citation, Hit, Json, ToolResult


class Searcher(Protocol):
    """An object that finds passages, such as an `AsyncRAG`."""

    async def search(
        self,
        query: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> Sequence[Hit]:
        """Return the `k` passages that fit the query best."""
        ...


def search_documents(
    rag: Searcher,
    *,
    k: int = 5,
    where: Filter | str | None = None,
    tenant: str | None = None,
    max_chars: int = 8000,
) -> Tool:
    """Make a tool that searches documents; the model chooses the query and nothing else.

    Args:
        rag: An `AsyncRAG`, or another searcher.
        k: Number of passages.
        where: A filter on the passages.
        tenant: The tenant whose documents are searched.
        max_chars: Maximum length of all passages together.
    """

    @tool(max_chars=max_chars)
    async def search_documents(
        query: Annotated[str, Field(min_length=1, max_length=500)],
    ) -> ToolResult:
        """Search the documents; finds passages by meaning and by words.

        Args:
            query: A question or some words, in the language of the documents.

        Returns:
            A list of passages, best first, each with id, uri, title, text and, where there are
            pages, page.
        """
        hits = await rag.search(query, k=k, where=where, tenant=tenant)
        return tool_result(
            [_value(hit) for hit in hits],
            max_chars=max_chars,
            text="\n\n".join(map(_text, hits)) or "No passage was found; try other words.",
            citations=[Citation.of(hit.chunk, 0, len(hit.chunk.text)) for hit in hits],
        )

    return search_documents


def _value(hit: Hit) -> dict[str, Json]:
    chunk = hit.chunk
    page: dict[str, Json] = {} if chunk.page is None else {"page": chunk.page}
    return {"id": chunk.id, "uri": chunk.uri, "title": chunk.title, "text": chunk.text, **page}


def _text(hit: Hit) -> str:
    page = "" if hit.chunk.page is None else f", page {hit.chunk.page}"
    return f"[{hit.chunk.id}] {hit.chunk.header}{page}\n{hit.chunk.text}"
