"""Options of one call of `search`, `context`, `ask` and `ask_stream`, which override settings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from pydantic import BaseModel, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.filter_parser import Where
from ragkit.core.settings import Settings
from ragkit.core.types import TransformName
from ragkit.retrieval.request import Leg, SearchOptions

AnswerMode = Literal["snippet", "reader", "extractive", "generative"]


class RetrievalOptions(TypedDict, total=False):
    """Options of a search; those left out are the settings' own.

    Attributes:
        k: Number of hits.
        where: A filter, an expression such as `year >= 2020 and lang == "en"`, or a dict of fields
            and the values that they must have.
        tenant: The tenant whose documents are searched.
        legs: `dense`, `bm25` or both.
        explain: Attach an `Explanation` with all candidates of all stages.
        rerank: False to search without the reranker.
        fusion: See `RetrievalSettings`, as for the following.
        rrf_k: Offset of reciprocal ranks.
        depth: Number of results of each leg.
        dense_weight: Weight of the dense leg.
        bm25_weight: Weight of the BM25 leg.
        transform: Transformation of the query.
        mmr_lambda: Weight of relevance in maximal marginal relevance.
        neighbours: Number of chunks before and after each hit that are added to it.
        drop_duplicates: Leave out chunks whose text equals that of a better one.
        near_duplicates: Leave out chunks of whose words this share stands in better ones.
    """

    k: int | None
    where: Where | None
    tenant: str | None
    legs: Leg | Sequence[Leg]
    explain: bool
    rerank: bool
    fusion: Literal["scores", "rrf"]
    rrf_k: int
    depth: int
    dense_weight: float | None
    bm25_weight: float | None
    transform: TransformName | None
    mmr_lambda: float | None
    neighbours: int
    drop_duplicates: bool
    near_duplicates: float | None


class AskOptions(RetrievalOptions, total=False):
    """Options of a question; those left out are the settings' own.

    Attributes:
        mode: The answerer: `snippet`, `reader`, `extractive` or `generative`.
        threshold: Confidence below which no answer is given.
        max_quotes: Maximum number of quotes.
    """

    mode: AnswerMode
    threshold: float
    max_quotes: int


RETRIEVAL = (
    "fusion", "rrf_k", "depth", "dense_weight", "bm25_weight", "transform", "mmr_lambda",
    "neighbours", "drop_duplicates", "near_duplicates",
)  # fmt: skip
"""Options that override `settings.retrieval`."""
ANSWER = ("mode", "threshold", "max_quotes")
"""Options that override `settings.answer`."""


def check_names(options: Mapping[str, object], known: Iterable[str], *, call: str) -> None:
    """Raise `InputError` for an option that a call does not have."""
    names = sorted(known)
    if unknown := sorted(set(options) - set(names)):
        raise InputError(
            f"{call} has no option {unknown[0]!r}. Fix: use one of {', '.join(names)}."
        )


def overridden(settings: Settings, options: Mapping[str, object]) -> Settings:
    """Return the settings of one call.

    Raises:
        InputError: An option has a bad value; the message names it.
    """
    retrieval = {name: options[name] for name in RETRIEVAL if name in options}
    answer = {name: options[name] for name in ANSWER if name in options}
    return settings.model_copy(
        update={
            "retrieval": _updated(settings.retrieval, retrieval),
            "answer": _updated(settings.answer, answer),
        }
    )


def _updated(section: BaseModel, changes: Mapping[str, object]) -> BaseModel:
    if not changes:
        return section
    try:
        return type(section).model_validate({**section.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"{name} is {first['input']!r}. Fix: {first['msg']}.") from error


def search_options(options: RetrievalOptions, *, tenant: str) -> SearchOptions:
    """Return the options that a retriever takes; `tenant` is used if none is given."""
    chosen = options.get("tenant")
    found = SearchOptions(tenant=tenant if chosen is None else chosen)
    if "k" in options:
        found["k"] = options["k"]
    if "where" in options:
        found["where"] = options["where"]
    if "legs" in options:
        found["legs"] = options["legs"]
    if "explain" in options:
        found["explain"] = options["explain"]
    return found
