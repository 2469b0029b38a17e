"""Results of a search: hits, and the explanation of how they were found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ragkit.core.filters import Filter
from ragkit.core.types import Hit, Json, Usage
from ragkit.retrieval.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """A query transformation as it was applied to one query.

    Attributes:
        name: Of the transformation.
        written: Texts that a model wrote: queries, or passages that could answer.
        calls: Number of model calls.
        usage: Tokens of these calls.
        seconds: Duration of the transformation, without the searches that follow.
        note: Reason why the query was searched for unchanged; empty where it was transformed.
    """

    name: str
    written: tuple[str, ...] = ()
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The candidates of every stage of a search, the duplicates dropped and the time taken.

    Attributes:
        query: The query's text.
        embedded: The text whose vector the dense leg searched for.
        where: The filter.
        tenant: The tenant searched.
        stages: `(chunk id, rank, score)` in order of rank, for dense, bm25, fusion, rerank and the
            stages of wrappers.
        duplicates: The chunk that was kept, by the id of the one that was dropped for it.
        seconds: Duration of each stage; with transformations, the sum over all queries.
        transformations: Applied to the query, outermost first.
        searches: With transformations, the search for each query, the original first.
    """

    query: str
    embedded: str
    where: Filter | None
    tenant: str
    stages: Mapping[str, Sequence[tuple[str, int, float]]]
    duplicates: Mapping[str, str]
    seconds: Mapping[str, float]
    transformations: tuple[Transformation, ...] = ()
    searches: tuple["Explanation", ...] = ()

    def followed_by(self, stage: str, hits: Iterable[Hit], seconds: float) -> "Explanation":
        """Return a copy with one more stage, read from the traces of the hits."""
        ranked = [(hit.chunk.id, *hit.trace[stage]) for hit in hits if stage in hit.trace]
        return replace(
            self,
            stages={**self.stages, stage: ranked},
            seconds={**self.seconds, stage: seconds},
        )


class Hits(list[Hit]):
    """Hits, best first, with their `explanation` where one was asked for.

    `surroundings` reads what stands around them in their documents; a copy that was pickled has
    none.
    """

    def __init__(
        self,
        hits: Iterable[Hit],
        explanation: Explanation | None = None,
        *,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Copy the hits and keep the explanation."""
        super().__init__(hits)
        self.explanation = explanation
        self.surroundings = surroundings

    def shown(self) -> Json:
        """Return the hits as traces record them: ids, scores, uris and texts of the chunks."""
        return [
            {
                "id": hit.chunk.id,
                "score": float(hit.score),
                "uri": hit.chunk.uri,
                "content": hit.chunk.text,
            }
            for hit in self
        ]

    def __getstate__(self) -> dict[str, Explanation | None]:
        """Leave out the open index."""
        return {"explanation": self.explanation, "surroundings": None}
