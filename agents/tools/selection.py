"""`ToolSelector`: of many tools, those that are likely to serve a question."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.core.errors import InputError
from ragkit.core.protocols import Embedder, Tool
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.embedding import embedder

FEW = 15
"""More tools than these are chosen from for each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The tools chosen for a question, in the order in which they were given.

    `scores` maps every tool's name to how near its description is to the question (cosine, -1 to
    1); it is empty where all tools were taken unseen.
    """

    tools: tuple[Tool, ...]
    scores: Mapping[str, float]


class ToolSelector:
    """Chooses by embedding search over the tools' names and descriptions.

    Give it to an agent as `select`. It remembers the embeddings of the tools that it has seen.
    """

    def __init__(
        self, embedder: Embedder, *, k: int = FEW, keep: Collection[str] = ("finish",)
    ) -> None:
        """Choose how many.

        Args:
            embedder: Compares questions with descriptions.
            k: Tools that are chosen; as many or fewer are all taken.
            keep: Names of tools that are always taken, beside those `k`.

        Raises:
            InputError: `k` is not positive.
        """
        if k < 1:
            raise InputError(f"k is {k!r}: choose one tool at least.")
        self._embedder = embedder
        self._k = k
        self._keep = frozenset(keep)
        self._vectors: dict[str, FloatArray] = {}

    async def select(self, question: str, tools: Sequence[Tool]) -> Selection:
        """The likeliest tools for a question."""
        others = [tool for tool in tools if tool.name not in self._keep]
        if len(others) <= self._k:
            return Selection(tools=tuple(tools), scores={})
        vectors = await self._embedded([_text(tool) for tool in tools])
        query = (await self._embedder.embed([question], task="query", on_truncated=_pass))[0]
        scores = {
            tool.name: float(score) for tool, score in zip(tools, vectors @ query, strict=True)
        }
        best = sorted(others, key=lambda tool: -scores[tool.name])[: self._k]
        chosen = {tool.name for tool in best} | self._keep
        # In the given order, so that the same choice makes the same prompt.
        return Selection(tools=tuple(t for t in tools if t.name in chosen), scores=scores)

    async def __call__(self, question: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The tools of `select`."""
        return (await self.select(question, tools)).tools

    async def _embedded(self, texts: Sequence[str]) -> FloatArray:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            vectors = await self._embedder.embed(new, on_truncated=_pass)
            self._vectors.update(zip(new, vectors, strict=True))
        return np.stack([self._vectors[text] for text in texts])


class PackagedSelector:
    """A `ToolSelector` with the packaged embedding model, loaded when it is first asked."""

    def __init__(self) -> None:
        """Loads nothing yet."""
        self._selector: ToolSelector | None = None

    async def __call__(self, question: str, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The likeliest tools for a question.

        Raises:
            MissingExtraError: The model is not installed.
        """
        if self._selector is None:
            self._selector = ToolSelector(await asyncio.to_thread(embedder, EmbedderSettings()))
        return await self._selector(question, tools)


def _text(tool: Tool) -> str:
    return f"{tool.name.replace('_', ' ')}: {tool.description}"


def _pass(position: int, tokens: int) -> None:
    """The beginning of a long description or question says enough."""
