"""The costs of requests: prices, budgets that are reserved before and settled after, and sums.

Every call of the language model counts for the request that it was made for, those of an agent and
of transformed queries included, and so do calls of embedding and reranking servers whose model has
a price of its own. Amounts are in the currency of the prices.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

from ragkit.core.database import Database
from ragkit.core.errors import ConfigError, InputError, ProviderError, RagkitError
from ragkit.core.operation import Fact, Observer, Operation, request_id
from ragkit.core.settings import CostSettings, PriceSettings
from ragkit.core.types import Usage
from ragkit.llm.wrappers.cost import Price, total_usage
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey

T = TypeVar("T")
_log = logging.getLogger(__name__)
COSTS_NAME = "costs.sqlite"
CostGroup: TypeAlias = Literal["day", "key", "tenant", "model", "conversation", "request"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS costs (
    request TEXT, day TEXT, key TEXT, tenant TEXT, conversation TEXT, model TEXT,
    prompt INTEGER, cached INTEGER, completion INTEGER, cost REAL
);
CREATE INDEX IF NOT EXISTS costs_by_day ON costs (day, key);
CREATE INDEX IF NOT EXISTS costs_by_request ON costs (request)
"""
_MILLION = 1e6
_HOUR = 3600.0
_RESERVED = "reserved"
"""The model of a row whose request is not settled: it runs, or its server was killed."""
_CONVERSATION_CHARS = 200
_PARTS = re.compile(r"[|>]")
_UNDONE = frozenset({501, 503, 529})
"""Statuses above 499 of a server that did not begin with a request."""


@dataclass(slots=True)
class RequestAccount:
    """The model calls of one request, by model.

    Attributes:
        usages: Tokens of each language model, by the name that its replies give.
        asked: The names that these models were asked by.
        pooled: Model and tokens of each call of an embedding or reranking server.
        unknown: A call ended before its tokens were known, as where the client left.
        estimates: Model and estimated tokens of each call of a server that reports none.
    """

    usages: dict[str, Usage] = field(default_factory=dict[str, Usage])
    asked: dict[str, str] = field(default_factory=dict[str, str])
    unknown: bool = False
    pooled: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    estimates: list[tuple[str, Usage]] = field(default_factory=list[tuple[str, Usage]])

    def add(self, model: str, usage: Usage) -> None:
        """Add a call."""
        known = self.usages.get(model, Usage())
        self.usages[model] = Usage(
            prompt=known.prompt + usage.prompt,
            cached=known.cached + usage.cached,
            completion=known.completion + usage.completion,
        )


running_account: ContextVar[RequestAccount | None] = ContextVar("ragkit_account", default=None)
"""The account of the request that the running code answers."""


class CostMeter(Observer):
    """Enters every call of a model into the account of its request."""

    def ended(self, operation: Operation) -> None:
        """Enter a model call or a pooling call; calls of threads at the same time do not meet."""
        account, facts = running_account.get(), operation.facts
        if account is None:
            return
        if operation.kind == "pooling call":
            account.pooled.append((operation.name, _count(facts.get("prompt_tokens", 0))))
        if operation.kind != "model call" or facts.get("cache_hit"):
            return
        usage = Usage(
            prompt=_count(facts.get("prompt_tokens", 0)),
            cached=_count(facts.get("cached_tokens", 0)),
            completion=_count(facts.get("completion_tokens", 0)),
        )
        if usage != Usage():
            model = str(facts["response_model"]) or operation.name
            account.asked[model] = operation.name
            if facts.get("usage_estimated"):
                account.unknown = True
                account.estimates.append((model, usage))
            else:
                account.add(model, usage)
        elif operation.error is None or not _is_free(operation.error):
            account.unknown = True  # left in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A request that will be charged.

    Attributes:
        day: The day of the budgets that it is charged to (UTC), also where it ends on the next.
        reserved: The cost that it was estimated at.
        held: That cost was set aside, since its key or tenant has a budget.
    """

    request: str
    key: ApiKey
    conversation: str
    day: str
    account: RequestAccount
    reserved: float
    held: bool

    @property
    def is_empty(self) -> bool:
        """True where nothing was set aside, and no model was called."""
        account = self.account
        return not (self.held or account.usages or account.pooled or account.unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSum:
    """The costs of one day, key, tenant, model, conversation or request."""

    name: str
    requests: int
    prompt: int
    cached: int
    completion: int
    cost: float


class CostLedger:
    """The costs of a server's requests, in a SQLite file that other processes may read."""

    def __init__(
        self,
        file: Path | str,
        settings: CostSettings | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Name the file; `now` is the time in seconds since 1970."""
        self._settings = settings or CostSettings()
        self._prices = {name: price_of(one) for name, one in self._settings.prices.items()}
        self._database = Database(file, _SCHEMA)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragkit-costs")
        self._now = now
        self._unpriced: set[str] = set()

    @property
    def has_prices(self) -> bool:
        """True where anything has a price."""
        return bool(self._prices)

    def cost_of(self, model: str, usage: Usage, *, asked: str = "") -> float:
        """Return the cost of a usage; a model without a price costs nothing, which is logged.

        A server may reply by a longer name than it was `asked` by. Of several models, as fallbacks
        and routes have them (`a|b`, `a>b`), it is the cost of the dearest.
        """
        names = [model, asked, *_PARTS.split(model)] if model not in self._prices else [model]
        prices = [self._prices[name] for name in names if name in self._prices]
        if not prices and "*" in self._prices:
            prices = [self._prices["*"]]
        if prices:
            return max(price.of(usage) for price in prices)
        if self._prices and model not in self._unpriced:
            self._unpriced.add(model)
            _log.warning("The model %r has no price. Fix: add it to costs.prices.", model)
        return 0.0

    def reserve(self, key: ApiKey, *, model: str, usage: Usage, conversation: str = "") -> Charge:
        """Set the estimated cost of a request aside, where its key or tenant has a budget.

        Args:
            key: Whose request it is.
            model: The language model that will be asked.
            usage: The tokens that it may take; nothing is set aside where it will not be asked.
            conversation: The conversation that it belongs to.

        Raises:
            ApiError: What is left of the budget of the day does not suffice (429).
        """
        limits = self._limits(key) if usage != Usage() else []
        charge = Charge(
            request=request_id.get(),
            key=key,
            conversation=_storable(conversation)[:_CONVERSATION_CHARS],
            day=self._day(),
            account=running_account.get() or RequestAccount(),
            reserved=self.cost_of(model, usage) if usage != Usage() else 0.0,
            held=bool(limits),
        )
        if not limits:
            return charge
        with self._database.transaction() as db:
            for column, name, limit in limits:
                statement = f"SELECT total(cost) FROM costs WHERE day = ? AND {column} = ?"
                (spent,) = db.execute(statement, (charge.day, name)).fetchone()
                if spent >= limit or spent + charge.reserved > limit:
                    raise self._exhausted(column)
            row = self._row(charge, _RESERVED, Usage(), charge.reserved)
            db.execute(f"INSERT INTO costs VALUES ({', '.join('?' * len(row))})", row)
        return charge

    def settle(self, charge: Charge) -> dict[str, float]:
        """Replace what was set aside by what the request cost; return that by model.

        Where the tokens of a call are not known, at least what was set aside is charged, and at
        least the estimates of such calls.
        """
        account = charge.account
        for model, tokens in account.pooled:
            if model in self._prices:
                account.add(model, Usage(prompt=tokens))

        def cost_of(model: str, usage: Usage) -> float:
            return self.cost_of(model, usage, asked=account.asked.get(model, ""))

        costs = {model: cost_of(model, usage) for model, usage in account.usages.items()}
        estimated = sum(cost_of(model, usage) for model, usage in account.estimates)
        left = charge.reserved - sum(costs.values())
        missing = max(left, estimated) if account.unknown else 0.0
        rows = [
            self._row(charge, model, usage, costs[model]) for model, usage in account.usages.items()
        ]
        if missing > 0:
            assumed = total_usage([usage for _, usage in account.estimates])
            rows.append(self._row(charge, "unknown", assumed, missing))
            costs["unknown"] = missing
        if not rows and not charge.held:
            return costs
        with self._database.transaction() as db:
            values = (charge.request, _RESERVED)
            db.execute("DELETE FROM costs WHERE request = ? AND model = ?", values)
            for row in rows:
                db.execute(f"INSERT INTO costs VALUES ({', '.join('?' * len(row))})", row)
        return costs

    async def reserve_async(
        self, key: ApiKey, *, model: str, usage: Usage, conversation: str = ""
    ) -> Charge:
        """See `reserve`; the event loop goes on while another process writes.

        What is set aside for a caller that is cancelled meanwhile is given back.
        """
        reserve = partial(self.reserve, key, model=model, usage=usage, conversation=conversation)
        if not self._limits(key):  # nothing is set aside, so nothing is written
            return reserve()
        reserving = self._in_thread(partial(copy_context().run, reserve))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(self._give_back)
            raise

    async def settle_async(self, charge: Charge, noted: Callable[[str, float], None]) -> None:
        """See `settle`; `noted` gets each model and its cost, in the thread that writes.

        Where it fails, what was set aside stays charged, and the log says so. It is done for a
        caller that is cancelled, too.
        """

        def settle() -> None:
            try:
                costs = self.settle(charge)
            except RagkitError:
                _log.exception("The cost of request %r was not written.", charge.request)
                return
            for model, cost in costs.items():
                noted(model, cost)

        if charge.is_empty:
            return
        await asyncio.shield(self._in_thread(settle))

    def _give_back(self, reserved: "asyncio.Future[Charge]") -> None:
        if reserved.exception() is None:
            self._thread.submit(self.settle, reserved.result())

    def sums(self, by: CostGroup, *, since: str = "") -> list[CostSum]:
        """Return the costs from a day on (`YYYY-MM-DD`), by day and the like.

        Raises:
            ConfigError: Costs are not kept by that.
        """
        if by not in (known := get_args(CostGroup)):
            raise ConfigError(f"No costs by {by!r}. Fix: choose one of {', '.join(known)}.")
        statement = (
            f"SELECT {by}, count(DISTINCT request), total(prompt), total(cached), "
            f"total(completion), total(cost) FROM costs WHERE day >= ? GROUP BY {by} ORDER BY {by}"
        )
        with self._database.transaction(write=False) as db:
            rows = db.execute(statement, (since,)).fetchall()
        return [
            CostSum(
                name=name,
                requests=requests,
                prompt=int(prompt),
                cached=int(cached),
                completion=int(completion),
                cost=cost,
            )
            for name, requests, prompt, cached, completion, cost in rows
        ]

    def close(self) -> None:
        """End what is being written, and close the file; safe to call twice."""
        self._thread.shutdown()
        self._database.close()

    def _in_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _limits(self, key: ApiKey) -> list[tuple[str, str, float]]:
        limits: list[tuple[str, str, float]] = []
        if key.limits.cost_per_day is not None:
            limits.append(("key", key.name, key.limits.cost_per_day))
        if key.tenant in self._settings.tenant_per_day:
            limits.append(("tenant", key.tenant, self._settings.tenant_per_day[key.tenant]))
        return limits

    def _row(self, charge: Charge, model: str, usage: Usage, cost: float) -> tuple[object, ...]:
        key = charge.key
        head = (charge.request, charge.day, key.name, key.tenant, charge.conversation)
        return (*head, _storable(model), usage.prompt, usage.cached, usage.completion, cost)

    def _day(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).date().isoformat()

    def _exhausted(self, owner: str) -> ApiError:
        now = datetime.fromtimestamp(self._now(), UTC)
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        return ApiError(
            429,
            f"The budget of the {owner} for today is used up.",
            code="budget_exceeded",
            retry_after_s=(midnight - now).total_seconds(),
        )


def kept_ledger(folder: Path) -> CostLedger:
    """Return the costs that a server keeps in its data folder.

    Raises:
        InputError: There are none.
    """
    file = folder / COSTS_NAME
    if not file.is_file():
        raise InputError(f"There are no costs in {str(folder)!r}. Fix: name the server's --data.")
    return CostLedger(file)


def price_of(settings: PriceSettings) -> Price:
    """Return the price of a million tokens, the hours of one's own GPUs included."""
    hourly = settings.gpu_hour / _HOUR * _MILLION
    prompt = hourly / settings.prompt_tokens_per_s if settings.prompt_tokens_per_s else 0.0
    completion = (
        hourly / settings.completion_tokens_per_s if settings.completion_tokens_per_s else 0.0
    )
    return Price(
        prompt=settings.prompt + prompt,
        completion=settings.completion + completion,
        cached=settings.cached,
    )


def _is_free(error: BaseException) -> bool:
    """Return whether a call ended before a model began with it."""
    if not isinstance(error, ProviderError):
        return isinstance(error, InputError)
    if error.partial:
        return False
    status = error.status or 0
    return error.failure == "refused" or 400 <= status < 500 or status in _UNDONE


def _storable(text: str) -> str:
    """Return a text as UTF-8 can hold it; what JSON escapes may be half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(fact: Fact) -> int:
    return int(fact) if isinstance(fact, int | float) else 0
