"""Transformations by a language model: multi-query, step-back, decomposition, HyDE."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ragkit.core.protocols import LLM, Embedder
from ragkit.core.types import Usage
from ragkit.core.vectors import unit
from ragkit.grammar.grammar import Grammar, json_grammar
from ragkit.llm.prompts import Prompt, prompt_file
from ragkit.retrieval.hybrid import Leg
from ragkit.retrieval.query import Query
from ragkit.retrieval.query_transform import NO_DENSE_LEG, Find, Rewritten, Transformed
from ragkit.retrieval.vectors import query_vector

SubQueryKind: TypeAlias = Literal["multi_query", "step_back", "decompose"]
_Kind: TypeAlias = Literal["multi_query", "step_back", "decompose", "hyde"]

NOTHING_WRITTEN = "The model wrote nothing that can be searched for: the query is as it was."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A reply: `{field: [text, ...]}`, with at most so many texts of so many characters."""

    field: str
    most: int
    characters: int


_SHAPES: Mapping[_Kind, _Shape] = {
    "multi_query": _Shape(field="queries", most=4, characters=200),
    "step_back": _Shape(field="questions", most=1, characters=200),
    "decompose": _Shape(field="questions", most=4, characters=200),
    "hyde": _Shape(field="passages", most=1, characters=800),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubQueries(Transformed):
    """Searches for the query and for others that a model writes.

    Attributes:
        kind: `multi_query` (other wordings; as in RAG-Fusion, arXiv:2402.03367), `step_back` (the
            more general question, arXiv:2310.06117) or `decompose` (the questions it consists of,
            as in least-to-most prompting, arXiv:2205.10625).
        llm: What writes them.
        most: How many at most; 4, or 1 for `step_back`, where None.
        prompt: The system message, instead of ragkit's own; `{most}` is filled in.
    """

    kind: SubQueryKind
    llm: LLM
    most: int | None = None
    prompt: str | None = None

    @property
    def name(self) -> str:
        """The kind."""
        return self.kind

    async def rewrite(self, query: Query, *, legs: Sequence[Leg], find: Find) -> Rewritten:
        """The query, and those that the model writes."""
        task = _Task(kind=self.kind, llm=self.llm, most=self.most, prompt=self.prompt)
        written, usage = await task.ask(query.text)
        return Rewritten(
            queries=(query, *(Query(text=text) for text in written)),
            written=written,
            calls=1,
            usage=usage,
            note="" if written else NOTHING_WRITTEN,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HyDE(Transformed):
    """Searches the dense leg for passages as they could answer, and the BM25 leg for the query.

    The dense leg's vector is the mean of those of the query and of the hypothetical passages (Gao
    et al. 2023, arXiv:2212.10496).

    Attributes:
        llm: What writes them.
        embedder: That of the index.
        most: How many passages at most.
        prompt: The system message, instead of ragkit's own; `{most}` is filled in.
    """

    llm: LLM
    embedder: Embedder
    most: int = 1
    prompt: str | None = None

    @property
    def name(self) -> str:
        """`hyde`."""
        return "hyde"

    async def rewrite(self, query: Query, *, legs: Sequence[Leg], find: Find) -> Rewritten:
        """The query with the vector of the passages that the model writes."""
        if "dense" not in legs:
            return Rewritten(queries=(query,), note=NO_DENSE_LEG)
        task = _Task(kind="hyde", llm=self.llm, most=self.most, prompt=self.prompt)
        written, usage = await task.ask(query.text)
        if not written:
            return Rewritten(queries=(query,), calls=1, usage=usage, note=NOTHING_WRITTEN)
        passages = await self.embedder.embed(written, task="passage")
        vectors = [await query_vector(query, self.embedder), *passages]
        moved = Query(
            text=query.text,
            vector=unit(np.mean(vectors, axis=0)),
            source=f"mean of {query.source or query.text!r} and {', '.join(map(repr, written))}",
        )
        return Rewritten(queries=(moved,), written=written, calls=1, usage=usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What a model is asked to write."""

    kind: _Kind
    llm: LLM
    most: int | None
    prompt: str | None

    async def ask(self, question: str) -> tuple[tuple[str, ...], Usage]:
        """What it writes, without what cannot be searched for, and the tokens that took."""
        shape = _SHAPES[self.kind]
        most = self.most or shape.most
        prompt = self.prompt or prompt_file("ragkit.retrieval", self.kind)
        messages = Prompt(system=prompt.replace("{most}", str(most))).messages(
            f"Question: {question}"
        )
        grammar = _grammar(shape, most)
        reply = await self.llm.complete(messages, grammar=grammar, temperature=0.0)
        written = grammar.parse(reply.text)[shape.field]
        return tuple(_usable(written, question)), reply.usage


@functools.lru_cache(maxsize=16)
def _grammar(shape: _Shape, most: int) -> Grammar[dict[str, list[str]]]:
    text = {"type": "string", "minLength": 1, "maxLength": shape.characters}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": most}
    return json_grammar(
        {
            "type": "object",
            "properties": {shape.field: texts},
            "required": [shape.field],
            "additionalProperties": False,
        }
    )


def _usable(texts: Iterable[str], question: str) -> list[str]:
    """The texts that say something, each once, without the question itself."""
    kept = {" ".join(question.split()).casefold(): question}
    for text in texts:
        if any(character.isalnum() for character in text):
            kept.setdefault(" ".join(text.split()).casefold(), text.strip())
    return list(kept.values())[1:]
