"""Options of a search, and the checked request that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, TypedDict, get_args

from ragkit.core.errors import InputError
from ragkit.core.filter_parser import Where, as_filter
from ragkit.core.filters import Filter
from ragkit.core.settings import RetrievalSettings
from ragkit.core.tenant import check_tenant
from ragkit.core.types import DEFAULT_TENANT

Leg: TypeAlias = Literal["dense", "bm25"]
BOTH: tuple[Leg, ...] = ("dense", "bm25")


class SearchOptions(TypedDict, total=False):
    """Options of one search; those left out have their defaults.

    Attributes:
        k: Number of hits; `settings.k` where None.
        where: A filter, an expression such as `year >= 2020 and lang == "en"`, or a dict of fields
            and the values that they must have.
        tenant: The tenant whose chunks are searched; those of others are never seen.
        legs: `dense`, `bm25` or both.
        explain: Attach an `Explanation` with all candidates of all stages.
    """

    k: int | None
    where: Where | None
    tenant: str
    legs: Leg | Sequence[Leg]
    explain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """The options of a search, checked and complete."""

    k: int
    where: Filter | None
    tenant: str
    legs: tuple[Leg, ...]
    explain: bool

    @classmethod
    def of(cls, options: SearchOptions, settings: RetrievalSettings) -> Self:
        """Check options and fill in the defaults.

        Raises:
            InputError: `k` is no whole number of 1 or more, the tenant is empty, a leg is unknown
                or none is given, or the filter cannot be read.
        """
        k = options.get("k")
        if k is not None and (type(k) is not int or k < 1):
            raise InputError(f"A search was asked for k = {k!r} hits. Fix: give 1 or more.")
        given = options.get("legs", BOTH)
        legs = (given,) if isinstance(given, str) else tuple(given)
        if not legs or not set(legs) <= set(get_args(Leg)):
            raise InputError(f"Unknown legs {list(legs)!r}. Fix: give 'dense', 'bm25' or both.")
        return cls(
            k=settings.k if k is None else k,
            where=as_filter(options.get("where")),
            tenant=check_tenant(options.get("tenant", DEFAULT_TENANT)),
            legs=legs,
            explain=options.get("explain", False),
        )

    def options(self, *, k: int) -> SearchOptions:
        """Return the options that make this request with another `k`."""
        return SearchOptions(
            k=k, where=self.where, tenant=self.tenant, legs=self.legs, explain=self.explain
        )
