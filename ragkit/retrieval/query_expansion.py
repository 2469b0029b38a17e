"""Query expansion by a language model: multi-query, step-back, decomposition, HyDE."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ragkit.core.protocols import LLM, Embedder
from ragkit.core.types import Usage
from ragkit.core.vectors import unit
from ragkit.grammar.grammar import Grammar, json_grammar
from ragkit.llm.prompts import Prompt, prompt_file
from ragkit.retrieval.query import Query, query_vector
from ragkit.retrieval.query_transform import (
    NO_DENSE_LEG,
    FirstSearch,
    QueryTransform,
    TransformedQuery,
)

SubQueryKind: TypeAlias = Literal["multi_query", "step_back", "decompose"]
_ExpansionKind: TypeAlias = Literal["multi_query", "step_back", "decompose", "hyde"]

NOTHING_WRITTEN = "The model wrote nothing that can be searched for: the query is unchanged."


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReplyShape:
    """A reply `{field: [text, ...]}`, with its limits on texts and characters."""

    field: str
    most: int
    characters: int


_SHAPES: Mapping[_ExpansionKind, _ReplyShape] = {
    "multi_query": _ReplyShape(field="queries", most=4, characters=200),
    "step_back": _ReplyShape(field="questions", most=1, characters=200),
    "decompose": _ReplyShape(field="questions", most=4, characters=200),
    "hyde": _ReplyShape(field="passages", most=1, characters=800),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubQueries(QueryTransform):
    """Searches for the query and for others that a model writes.

    Attributes:
        kind: `multi_query` (other wordings; as in RAG-Fusion, arXiv:2402.03367), `step_back` (the
            more general question, arXiv:2310.06117) or `decompose` (the questions it consists of,
            as in least-to-most prompting, arXiv:2205.10625).
        llm: The model that writes them.
        most: Largest number of queries; 4, or 1 for `step_back`, where None.
        prompt: The system message, instead of ragkit's own; `{most}` is filled in.
    """

    kind: SubQueryKind
    llm: LLM
    most: int | None = None
    prompt: str | None = None

    @property
    def name(self) -> str:
        """The stage's name, which is the kind."""
        return self.kind

    async def transform(self, query: Query, first: FirstSearch) -> TransformedQuery:
        """Return the query, and those that the model writes."""
        expansion = _Expansion(kind=self.kind, llm=self.llm, most=self.most, prompt=self.prompt)
        written, usage = await expansion.write(query.text)
        return TransformedQuery(
            queries=(query, *(Query(text=text) for text in written)),
            written=written,
            calls=1,
            usage=usage,
            note="" if written else NOTHING_WRITTEN,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HyDE(QueryTransform):
    """Searches the dense leg for hypothetical answers, and the BM25 leg for the query.

    The dense leg's vector is the mean of those of the query and of the hypothetical passages (Gao
    et al. 2023, arXiv:2212.10496).

    Attributes:
        llm: The model that writes them.
        embedder: The index's embedder.
        most: Largest number of passages.
        prompt: The system message, instead of ragkit's own; `{most}` is filled in.
    """

    llm: LLM
    embedder: Embedder
    most: int = 1
    prompt: str | None = None

    @property
    def name(self) -> str:
        """The stage's name, `hyde`."""
        return "hyde"

    async def transform(self, query: Query, first: FirstSearch) -> TransformedQuery:
        """Return the query with the vector of the passages that the model writes."""
        if "dense" not in first.request.legs:
            return TransformedQuery(queries=(query,), note=NO_DENSE_LEG)
        expansion = _Expansion(kind="hyde", llm=self.llm, most=self.most, prompt=self.prompt)
        written, usage = await expansion.write(query.text)
        if not written:
            return TransformedQuery(queries=(query,), calls=1, usage=usage, note=NOTHING_WRITTEN)
        passages = await self.embedder.embed(written, task="passage")
        vectors = [await query_vector(query, self.embedder), *passages]
        moved = Query(
            text=query.text,
            vector=unit(np.mean(vectors, axis=0)),
            source=f"mean of {query.source or query.text!r} and {', '.join(map(repr, written))}",
        )
        return TransformedQuery(queries=(moved,), written=written, calls=1, usage=usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expansion:
    """One call of the model."""

    kind: _ExpansionKind
    llm: LLM
    most: int | None
    prompt: str | None

    async def write(self, question: str) -> tuple[tuple[str, ...], Usage]:
        """Return the texts that can be searched for, and the tokens of the call."""
        shape = _SHAPES[self.kind]
        most = self.most or shape.most
        prompt = self.prompt or prompt_file("ragkit.retrieval", self.kind)
        messages = Prompt(system=prompt.replace("{most}", str(most))).messages(
            f"Question: {question}"
        )
        grammar = _grammar(shape, most)
        reply = await self.llm.complete(messages, grammar=grammar, temperature=0.0)
        written = grammar.parse(reply.text)[shape.field]
        return tuple(_searchable(written, question)), reply.usage


@functools.lru_cache(maxsize=16)
def _grammar(shape: _ReplyShape, most: int) -> Grammar[dict[str, list[str]]]:
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


def _searchable(texts: Iterable[str], question: str) -> list[str]:
    """Return the texts that have a letter or digit, each once, without the question itself."""
    kept = {" ".join(question.split()).casefold(): question}
    for text in texts:
        if any(character.isalnum() for character in text):
            kept.setdefault(" ".join(text.split()).casefold(), text.strip())
    return list(kept.values())[1:]
