"""The passages in a prompt, between marks, and the citations of a reply to them."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ragkit.answering.table_rows import COLUMNS, columns_above
from ragkit.core.types import Chunk, Citation, Hit
from ragkit.grammar.quotes import Evidence, Quote
from ragkit.retrieval.context import Passage, best_at_the_ends, merge_neighbours

_CODE_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPassages:
    """The passages that a prompt shows.

    Attributes:
        hits: All of them, best first.
        passages: Those shown, best first; each is made of one or several hits.
        ends: Put the best first and last in the prompt, instead of best first.
    """

    hits: tuple[Hit, ...]
    passages: tuple[Passage, ...]
    ends: bool = False

    @property
    def by_id(self) -> dict[str, Passage]:
        """The passages in the order of the prompt, by their ids in it."""
        ordered = best_at_the_ends(self.passages) if self.ends else self.passages
        return {str(number): passage for number, passage in enumerate(ordered, start=1)}

    @property
    def held(self) -> tuple[Hit, ...]:
        """The hits in the passages, best first."""
        ids = {chunk_id for passage in self.passages for chunk_id in passage.chunk_ids}
        return tuple(hit for hit in self.hits if hit.chunk.id in ids)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Ids of the chunks that are in no passage."""
        held = {hit.chunk.id for hit in self.held}
        return tuple(hit.chunk.id for hit in self.hits if hit.chunk.id not in held)

    def without_worst(self) -> "PromptPassages":
        """Return the same without the worst hit."""
        return replace(self, passages=tuple(merge_neighbours(self.held[:-1])))

    def text(self) -> str:
        """Return the passages between marks that occur in none of them."""
        heads = {hit.chunk.id: _head(hit.chunk) for hit in self.hits}
        bodies = {
            name: f"{heads[passage.chunk_ids[0]]}\n{passage.text}"
            for name, passage in self.by_id.items()
        }
        code = mark_code([*bodies.values()])
        blocks = (
            f"<passage {name} {code}>\n{body}\n</passage {name} {code}>"
            for name, body in bodies.items()
        )
        return f"The code of passage marks is {code}.\n" + "\n".join(blocks)

    def citations(self, evidence: Evidence) -> tuple[Citation, ...]:
        """Return the quotes of each cited passage, or the best chunk of one without quotes."""
        named = self.by_id
        quotes = list(dict.fromkeys(evidence.quotes))
        found: list[Citation] = []
        for name in evidence.citations:
            own = [quote for quote in quotes if quote.passage == name]
            found += [self._quoted(quote, named) for quote in own] or [self._whole(named[name])]
        return tuple(found)

    def _quoted(self, quote: Quote, named: Mapping[str, Passage]) -> Citation:
        passage = named[quote.passage]
        start = passage.start + quote.start
        holder = next(
            hit.chunk for hit in self._hits_of(passage) if hit.chunk.start <= start < hit.chunk.end
        )
        # The quote may end in the next chunk of the passage.
        end = passage.start + quote.end
        return replace(Citation.of(holder, 0, 0), quote=quote.text, start=start, end=end)

    def _whole(self, passage: Passage) -> Citation:
        chunk = self._hits_of(passage)[0].chunk
        start = len(chunk.text) - len(chunk.text.lstrip())
        return Citation.of(chunk, start, len(chunk.text.rstrip()))

    def _hits_of(self, passage: Passage) -> list[Hit]:
        return [hit for hit in self.hits if hit.chunk.id in passage.chunk_ids]


def _head(chunk: Chunk) -> str:
    """Return what stands above a passage: its headings, and the columns of a table within it."""
    columns = columns_above(chunk)
    return f"[{chunk.header}]\n{COLUMNS}{columns}" if columns else f"[{chunk.header}]"


def mark_code(texts: Sequence[str]) -> str:
    """Return a code that occurs in none of the texts; the same for the same texts."""
    content = "\x1f".join(texts)
    tried = (
        hashlib.sha256(f"{number}\x1f{content}".encode()).hexdigest()[:_CODE_LENGTH]
        for number in itertools.count()
    )
    return next(code for code in tried if code not in content)
