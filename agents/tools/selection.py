"""`ToolSelector`: the tools that are likely to serve a question, of many."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.core.errors import InputError
from ragkit.core.protocols import Embedder, Tool
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.build import build_embedder

FEW = 15
"""Up to this number of tools, all are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSelection:
    """The tools chosen for a question, in the order in which they were given.

    `scores` maps every tool's name to the cosine of its description and the question (-1 to 1); it
    is empty if all tools are used.
    """

    tools: tuple[Tool, ...]
    scores: Mapping[str, float]


class ToolSelector:
    """Selects tools by embedding search over their names and descriptions.

    Pass it to an agent as `select`. It keeps the embeddings of the tools that it has seen.
    """

    def __init__(self, embedder: Embedder, *, k: int = FEW, keep: Collection[str] = ()) -> None:
        """Configure the number of tools.

        Args:
            embedder: Embeds questions and descriptions.
            k: Number of tools; if there are no more, all are used.
            keep: Names of tools that are always used, in addition to those `k`.

        Raises:
            InputError: `k` is not positive.
        """
        if k < 1:
            raise InputError(f"k is {k!r}. Fix: use 1 or more.")
        self._embedder = embedder
        self._k = k
        self._keep = frozenset(keep)
        self._vectors: dict[str, FloatArray] = {}

    async def select(self, question: str, tools: Sequence[Tool]) -> ToolSelection:
        """Return the likeliest tools for a question."""
        others = [tool for tool in tools if tool.name not in self._keep]
        if len(others) <= self._k:
            return ToolSelection(tools=tuple(tools), scores={})
        vectors = await self._embedded([_text(tool) for tool in tools])
        query = (await self._embedder.embed([question], task="query", on_truncated=_pass))[0]
        scores = {
            tool.name: float(score) for tool, score in zip(tools, vectors @ query, strict=True)
        }
        best = sorted(others, key=lambda tool: -scores[tool.name])[: self._k]
        chosen = {tool.name for tool in best} | self._keep
        # In the given order, so that the same choice makes the same prompt.
        return ToolSelection(tools=tuple(t for t in tools if t.name in chosen), scores=scores)

    async def __call__(self, question: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        """Return the tools of `select`."""
        return (await self.select(question, tools)).tools

    async def _embedded(self, texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            vectors = await self._embedder.embed(new, on_truncated=_pass)
            self._vectors.update(zip(new, vectors, strict=True))
        return np.stack([self._vectors[text] for text in texts])


class PackagedSelector:
    """A `ToolSelector` with the packaged embedding model, loaded on first use."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._selector: ToolSelector | None = None

    async def __call__(self, question: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        """Return the likeliest tools for a question.

        Raises:
            MissingExtraError: The model is not installed.
        """
        if self._selector is None:
            embedder = await asyncio.to_thread(build_embedder, EmbedderSettings())
            self._selector = ToolSelector(embedder)
        return await self._selector(question, tools)


def _text(tool: Tool) -> str:
    return f"{tool.name.replace('_', ' ')}: {tool.description}"


def _pass(position: int, tokens: int) -> None:
    """Accept truncation: the beginning of a long description or question is enough."""
