"""Fitting the fusion of the legs on judged queries, and checking it on others."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ragkit.core.errors import InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.protocols import LegQuery
from ragkit.core.settings import RetrievalSettings, Settings
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.retrieval import IndexedDataset, indexed_dataset
from ragkit.evaluation.stats import Comparison, compare
from ragkit.retrieval.fusion import Fusion, FusionKind, LegWeights
from ragkit.retrieval.query import as_query, query_vector

MEASURE = "ndcg@10"
FEWEST = 20
"""Judged queries from which on a choice can be fitted and checked."""
_FIRST = 10
_DEPTHS = (20, 50, 100, 200)
_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
_RANK_OFFSETS = (1, 5, 10, 20, 40, 60, 100)

_Leg = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionChoice:
    """A way to fuse the legs, by the names of `RetrievalSettings`; `rrf_k` is for `rrf` only."""

    fusion: FusionKind
    dense_weight: float
    bm25_weight: float
    rrf_k: int
    depth: int

    @classmethod
    def of(cls, settings: RetrievalSettings, *, embedder: str) -> "FusionChoice":
        """Return the choice that is in force with these settings."""
        fusion = Fusion.of(settings, embedder=embedder)
        return cls(
            fusion=fusion.kind,
            dense_weight=fusion.weights.dense,
            bm25_weight=fusion.weights.bm25,
            rrf_k=fusion.rrf_k,
            depth=settings.depth,
        )

    def __str__(self) -> str:
        """Describe it in one line."""
        k = f", rrf_k {self.rrf_k}" if self.fusion == "rrf" else ""
        weights = f"dense {self.dense_weight:g}, bm25 {self.bm25_weight:g}"
        return f"{self.fusion}{k}, {weights}, depth {self.depth}"

    @property
    def toml(self) -> str:
        """The lines for `ragkit.toml`."""
        lines = [f"{name} = {value!r}" for name, value in asdict(self).items() if name != "fusion"]
        if self.fusion != "rrf":
            lines = [line for line in lines if not line.startswith("rrf_k")]
        return "\n".join(["[retrieval]", f'fusion = "{self.fusion}"', *lines]) + "\n"

    def ranking(self, asked: "AskedQuery") -> list[str]:
        """Return the first documents of a query."""
        fusion = Fusion(
            kind=self.fusion,
            weights=LegWeights(dense=self.dense_weight, bm25=self.bm25_weight),
            rrf_k=self.rrf_k,
        )
        legs = {"dense": asked.dense[: self.depth], "bm25": asked.bm25[: self.depth]}
        uris = (asked.uris[item] for item, _ in fusion.fuse(legs))
        return list(itertools.islice(dict.fromkeys(uris), _FIRST))


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuery:
    """The chunks that both legs found for a query, with their documents."""

    dense: _Leg
    bm25: _Leg
    uris: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The choice that is best on one half of the queries, against the present one on the other.

    Attributes:
        dataset: Name of the data set.
        measure: The measure that was fitted.
        embedder: The embedder that the choice was fitted with.
        fitted: Number of queries that the choice was made on.
        held_out: Number of other queries, on which it is compared.
        current: The choice of the settings.
        tuned: The best choice.
        fitted_current: Mean of the present choice on the queries of the fit.
        fitted_tuned: Mean of the best choice there.
        comparison: A is the present choice, B the best one, on the other queries.
        verdict: The result as a sentence.
    """

    dataset: str
    measure: str
    embedder: str
    fitted: int
    held_out: int
    current: FusionChoice
    tuned: FusionChoice
    fitted_current: float
    fitted_tuned: float
    comparison: Comparison
    verdict: str

    @property
    def recommended(self) -> bool:
        """True where the best choice is better on the queries that it was not made on."""
        return self.comparison.better == "B"

    @property
    def settings(self) -> FusionChoice:
        """The choice to use: the best one only where it is recommended."""
        return self.tuned if self.recommended else self.current


def choices() -> Iterator[FusionChoice]:
    """Yield every choice that is tried."""
    for depth, ratio in itertools.product(_DEPTHS, _RATIOS):
        weights = {"dense_weight": 1.0, "bm25_weight": ratio}
        yield FusionChoice(fusion="scores", rrf_k=60, depth=depth, **weights)
        for k in _RANK_OFFSETS:
            yield FusionChoice(fusion="rrf", rrf_k=k, depth=depth, **weights)


async def tune(
    settings: Settings,
    dataset: RetrievalDataset,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Tuning:
    """Fit the fusion of hybrid search on half of the judged queries; compare it on the other half.

    The index stays under `.ragkit/eval`. Each leg is asked once for each query; reranking and
    transformations of queries have no part in it.

    Raises:
        InputError: There are fewer than `FEWEST` judged queries.
    """
    if len(dataset.queries) < FEWEST:
        raise InputError(
            f"{dataset.name!r} has {len(dataset.queries)} judged queries, and a fit needs "
            f"{FEWEST}. Fix: judge more, or make some: ragkit eval make PATH --out DIR"
        )
    async with indexed_dataset(settings, dataset, ("hybrid",), on_progress) as indexed:
        embedder = indexed.embedder.identity[0]
        current = FusionChoice.of(settings.retrieval, embedder=embedder)
        asked = await _asked(
            indexed, dataset, depth=max(*_DEPTHS, current.depth), on_progress=on_progress
        )
    return fitted(asked, dataset, current, embedder, seed=seed)


def fitted(
    asked: Mapping[str, AskedQuery],
    dataset: RetrievalDataset,
    current: FusionChoice,
    embedder: str,
    *,
    seed: int,
) -> Tuning:
    """Fit the choice to what the legs found."""
    queries = sorted(asked)
    random.Random(seed).shuffle(queries)
    half = len(queries) // 2
    fit, check = queries[:half], queries[half:]

    def values(choice: FusionChoice, names: Sequence[str]) -> dict[str, float]:
        rankings = {name: choice.ranking(asked[name]) for name in names}
        return per_query({name: dataset.qrels[name] for name in names}, rankings)[MEASURE]

    means = {
        choice: float(np.mean(list(values(choice, fit).values())))
        for choice in (current, *choices())
    }
    # Of equal ones the present choice, then the one that asks for less.
    best = max(means, key=lambda choice: (means[choice], choice == current, -choice.depth))
    comparison = compare(values(current, check), values(best, check), seed=seed)
    return Tuning(
        dataset=dataset.name,
        measure=MEASURE,
        embedder=embedder,
        fitted=len(fit),
        held_out=len(check),
        current=current,
        tuned=best,
        fitted_current=means[current],
        fitted_tuned=means[best],
        comparison=comparison,
        verdict=_verdict(comparison),
    )


def _verdict(comparison: Comparison) -> str:
    if comparison.better == "B":
        return f"The tuned settings are better on the held-out queries. {comparison.verdict}"
    if comparison.better == "A":
        return f"Keep the present settings: they are better held out. {comparison.verdict}"
    return f"Keep the present settings: {comparison.verdict}"


async def _asked(
    indexed: IndexedDataset,
    dataset: RetrievalDataset,
    *,
    depth: int,
    on_progress: OnProgress | None,
) -> dict[str, AskedQuery]:
    index, found = indexed.retriever.index, dict[str, AskedQuery]()
    for done, (name, text) in enumerate(dataset.queries.items()):
        if on_progress is not None:
            on_progress(Progress(phase="ask", done=done, total=len(dataset.queries), item=name))
        try:
            vector = await query_vector(as_query(text), indexed.embedder)
            legs = await index.search(LegQuery(vector=vector, text=text, depth=depth))
        except InputError:
            found[name] = AskedQuery(dense=(), bm25=(), uris={})  # scores 0, whatever is chosen
            continue
        ids = list(dict.fromkeys(item for leg in (legs.dense, legs.bm25) for item, _ in leg))
        uris = {chunk.id: chunk.uri for chunk in await index.fetch(ids)}
        found[name] = AskedQuery(dense=legs.dense, bm25=legs.bm25, uris=uris)
    return found
