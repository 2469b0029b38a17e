"""LangGraph's long-term memory over an index of ragkit: values that hybrid search finds again."""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    get_text_at_path,
    tokenize_path,
)

from ragkit.agents.memory import MemoryStore
from ragkit.core.errors import InputError
from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk, Document, stable_id
from ragkit.retrieval.query import MAX_QUERY_CHARACTERS

_WIDER = 4
_WHOLE = "$"
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


class ItemIndex(MemoryStore, Protocol):
    """An index of items; an `AsyncRAG` is one."""

    async def chunks(self, uri: str, *, tenant: str | None = None) -> Sequence[Chunk]:
        """Return the passages of a document."""
        ...


class RagkitStore(BaseStore):
    """A `BaseStore` over an index: give it to `compile(store=...)`, or to tools.

    Items lie in a collection of their own, apart from the index's documents. A search with a query
    is hybrid: by meaning and by words; one without a word, such as an emoji, lists the latest items
    as a search without a query does. Values are JSON objects.
    """

    def __init__(self, rag: ItemIndex, *, name: str = "default") -> None:
        """Open a store.

        Args:
            rag: An `AsyncRAG`.
            name: The store's name; stores of other names share nothing.
        """
        self._rag = rag
        self._tenant = f"store:{name}"

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """See `abatch`; it runs on ragkit's background loop."""
        given = list(ops)
        return run_sync(lambda: self.abatch(given))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations one after the other and return their results.

        Raises:
            InputError: A value could not be stored.
        """
        await self._rag.index(create=True)
        return [await self._done(op) for op in ops]

    async def _done(self, op: Op) -> Result:
        match op:
            case GetOp():
                found = await self._stored(op.namespace, op.key)
                return Item(**found) if found else None
            case PutOp():
                await self._put(op)
                return None
            case SearchOp():
                return cast("Result", await self._search(op))
            case ListNamespacesOp():
                return await self._namespaces(op)
            case _:
                raise InputError(f"{op!r} is no operation of a store.")

    async def _stored(self, namespace: tuple[str, ...], key: str) -> dict[str, Any] | None:
        chunks = await self._rag.chunks(_uri(namespace, key), tenant=self._tenant)
        return _fields(chunks[0]) if chunks else None

    async def _put(self, op: PutOp) -> None:
        uri = _uri(op.namespace, op.key)
        if op.value is None:
            await self._rag.delete([uri], tenant=self._tenant)
            return
        known = await self._stored(op.namespace, op.key)
        now = datetime.now(UTC).isoformat()
        try:
            kept = json.dumps(op.value, ensure_ascii=False)
            kept.encode()
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The value of {op.key!r} is not JSON: {error}. Fix: store texts, numbers, lists "
                "and objects."
            ) from error
        found = op.index is not False
        document = Document(
            uri=uri,
            title="",
            text=(_text(op.value, op.index or None) if found else "") or op.key,
            metadata={
                "value": kept,
                "found": found,
                "created": known["created_at"].isoformat() if known else now,
                "updated": now,
            },
            content_hash=stable_id(kept, now),
        )
        report = await self._rag.ingest(document, tenant=self._tenant)
        failed: Sequence[object] = getattr(report, "failed", ())
        if failed:
            raise InputError(f"The value of {op.key!r} could not be stored: {failed[0]}")

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        _check_operators(op.filter or {})
        wanted = op.offset + op.limit
        query = (op.query or "")[:MAX_QUERY_CHARACTERS]
        words = any(character.isalnum() for character in query)
        found = await (self._by_query(op, query, wanted) if words else self._all(op))
        return found[op.offset : wanted]

    async def _all(self, op: SearchOp) -> list[SearchItem]:
        found: list[SearchItem] = []
        for uri in await self._uris():
            namespace, key = _place(uri)
            if namespace[: len(op.namespace_prefix)] == op.namespace_prefix:
                fields = await self._stored(namespace, key)
                if fields is not None and _holds(fields["value"], op.filter):
                    found.append(SearchItem(**fields))
        return sorted(found, key=lambda item: item.updated_at, reverse=True)

    async def _by_query(self, op: SearchOp, query: str, wanted: int) -> list[SearchItem]:
        k = wanted * _WIDER
        while True:
            hits = await self._rag.search(query, k=k, tenant=self._tenant)
            found: dict[str, SearchItem] = {}
            for hit in hits:
                fields = _fields(hit.chunk)
                within = fields["namespace"][: len(op.namespace_prefix)] == op.namespace_prefix
                searched = bool(hit.chunk.metadata.get("found", True))
                if within and searched and _holds(fields["value"], op.filter):
                    found.setdefault(hit.chunk.uri, SearchItem(**fields, score=hit.score))
            if len(found) >= wanted or len(hits) < k:
                return list(found.values())
            k *= _WIDER

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        found = {_place(uri)[0] for uri in await self._uris()}
        for condition in op.match_conditions or ():
            found = {namespace for namespace in found if _matches(namespace, condition)}
        short = {namespace[: op.max_depth] for namespace in found}
        return sorted(short)[op.offset : op.offset + op.limit]

    async def _uris(self) -> list[str]:
        return [record.uri for record in await self._rag.documents(tenant=self._tenant)]


def _uri(namespace: Iterable[str], key: str) -> str:
    return json.dumps([*namespace, key], ensure_ascii=False)


def _place(uri: str) -> tuple[tuple[str, ...], str]:
    *namespace, key = json.loads(uri)
    return tuple(namespace), key


def _fields(chunk: Chunk) -> dict[str, Any]:
    namespace, key = _place(chunk.uri)
    return {
        "namespace": namespace,
        "key": key,
        "value": json.loads(str(chunk.metadata["value"])),
        "created_at": datetime.fromisoformat(str(chunk.metadata["created"])),
        "updated_at": datetime.fromisoformat(str(chunk.metadata["updated"])),
    }


def _text(value: Mapping[str, Any], paths: Sequence[str] | None) -> str:
    """Return the texts of a value that searches find it by; of all fields where none are named."""
    if paths and _WHOLE not in paths:
        texts = [text for path in paths for text in get_text_at_path(value, tokenize_path(path))]
    else:
        texts = list(_texts(value))
    return "\n".join(text for text in texts if text.strip())


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in cast("Sequence[object]", value):
            yield from _texts(one)
    elif value is not None:
        yield str(value)


def _holds(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    return all(_compared(value.get(name), one) for name, one in (wanted or {}).items())


def _compared(value: Any, wanted: Any) -> bool:
    # `Any`: a filter compares whatever values an item holds.
    operators = _operators(wanted)
    if not operators:
        return bool(value == wanted)
    try:
        return all(_OPERATORS[name](value, one) for name, one in operators.items())
    except TypeError:  # values of kinds that have no order
        return False


def _operators(wanted: Any) -> Mapping[str, Any]:
    """Return the operators of a condition; empty where it is a value to equal."""
    if isinstance(wanted, Mapping):
        given = cast("Mapping[str, Any]", wanted)
        if any(str(name).startswith("$") for name in given):
            return given
    return {}


def _check_operators(conditions: Mapping[str, Any]) -> None:
    for wanted in conditions.values():
        for name in _operators(wanted):
            if name not in _OPERATORS:
                raise InputError(
                    f"{name!r} is no operator. Fix: use one of {', '.join(_OPERATORS)}."
                )


def _matches(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return all(want in {"*", one} for want, one in zip(path, part, strict=True))
