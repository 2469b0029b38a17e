"""The front door: `RAG` for scripts and notebooks, `AsyncRAG` for servers and workflows."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ragkit.answering.build import build_answerer
from ragkit.core.filters import Filter
from ragkit.core.protocols import (
    LLM,
    Answerer,
    Embedder,
    Index,
    OnProgress,
    Reranker,
    StreamingAnswerer,
)
from ragkit.core.settings import Settings
from ragkit.core.sync import run_sync
from ragkit.core.types import Answer, AnswerDelta, Document, DocumentRecord, Metadata
from ragkit.index.build import build_index, identity_for
from ragkit.index.integrity import Fault, repair, verify
from ragkit.ingest.build import build_chunker
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import from_documents, from_paths
from ragkit.models.build import build_embedder, build_reranker
from ragkit.retrieval.build import build_retriever
from ragkit.retrieval.context import Passage, build_context
from ragkit.retrieval.results import Hits

P = ParamSpec("P")
T = TypeVar("T")


class AsyncRAG:
    """Documents in, cited answers out.

    Every part comes from `settings` unless it is given. Nothing is opened or loaded before it is
    needed; `close` (or `async with`) releases the index, and a model that it opened.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        index: str | Path | None = None,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        answerer: Answerer | None = None,
        llm: LLM | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Configure the parts. `index` is a folder, a Qdrant URL or `":memory:"`."""
        self.settings = settings or Settings.load()
        if index is not None:
            located = self.settings.index.model_copy(update={"location": str(index)})
            self.settings = self.settings.model_copy(update={"index": located})
        self._given_embedder = embedder
        self._given_reranker = reranker
        self._given_answerer = answerer
        self._given_llm = llm
        self._own_llm: LLM | None = None
        self._on_progress = on_progress
        self._opening, self._writing = asyncio.Lock(), asyncio.Lock()
        self._index: Index | None = None

    @functools.cached_property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        return self._given_embedder or build_embedder(self.settings.embedder)

    @functools.cached_property
    def reranker(self) -> Reranker | None:
        """The reranker in use, or None."""
        return self._given_reranker or build_reranker(self.settings.reranker)

    @functools.cached_property
    def llm(self) -> LLM | None:
        """The language model in use, or None."""
        if self._given_llm is not None or self.settings.llm.model is None:
            return self._given_llm
        from ragkit.llm.build import build_llm  # with the compiler of grammars

        self._own_llm = build_llm(self.settings.llm)
        return self._own_llm

    @functools.cached_property
    def answerer(self) -> Answerer:
        """The answerer in use."""
        if self._given_answerer is not None:
            return self._given_answerer
        llm = self.llm if self.settings.answer.mode == "generative" else None
        return build_answerer(self.settings, embedder=self.embedder, llm=llm)

    async def ingest(
        self,
        *sources: str | Path | Document,
        sync: bool = False,
        metadata: Metadata | None = None,
        tenant: str | None = None,
    ) -> IngestReport:
        """Update the index with files, folders and documents.

        Args:
            sources: Paths, or documents made in code.
            sync: Delete documents that are gone from the given folders.
            metadata: Added to every file's metadata.
            tenant: Owner of the documents; `settings.tenant` by default.
        """
        config = self.settings.ingest
        documents = [source for source in sources if isinstance(source, Document)]
        paths = [Path(source) for source in sources if not isinstance(source, Document)]
        files = await asyncio.to_thread(
            from_paths,
            paths,
            encoding=config.encoding,
            max_bytes=config.max_file_mb * 2**20,
            metadata=metadata,
        )
        pipeline = Pipeline(
            index=await self.index(create=True),
            chunker=build_chunker(self.settings, self.embedder.tokenizer),
            embedder=self.embedder,
            tenant=tenant or self.settings.tenant,
            batch_chunks=config.batch_chunks,
            on_progress=self._on_progress,
        )
        async with self._writing:  # a run would take the half-stored chunks of another for a fault
            return await pipeline.run(files.joined(from_documents(documents)), sync=sync)

    async def search(
        self,
        query: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
        explain: bool = False,
    ) -> Hits:
        """Return the `k` chunks that fit the query best; see `HybridRetriever.search`.

        The transformation and the choices after retrieval are those of `settings.retrieval`.

        Raises:
            ConfigError: A transformation needs a language model, and none is set.
        """
        index = await self.index()
        llm = self.llm if self.settings.retrieval.transform is not None else None
        retriever = build_retriever(
            self.settings, index=index, embedder=self.embedder, reranker=self.reranker, llm=llm
        )
        return await retriever.search(
            query, k=k, where=where, tenant=tenant or self.settings.tenant, explain=explain
        )

    async def context(
        self,
        query: str,
        *,
        k: int = 20,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> list[Passage]:
        """Return passages for a language model, in order: merged, packed, best first.

        With `settings.retrieval.best_at_the_ends` the best stand first and last. They hold at most
        `settings.retrieval.context_tokens` of the embedder's tokens.
        """
        hits = await self.search(query, k=k, where=where, tenant=tenant)
        count = self.embedder.tokenizer.token_starts
        config = self.settings.retrieval
        return build_context(
            hits,
            budget=config.context_tokens,
            count=lambda text: len(count(text)),
            ends=config.best_at_the_ends,
        )

    async def ask(
        self,
        question: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> Answer:
        """Answer a question with verbatim citations, or abstain."""
        hits = await self.search(question, k=k, where=where, tenant=tenant)
        return await self.answerer.answer(question, hits)

    async def ask_stream(
        self,
        question: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> AsyncGenerator[AnswerDelta]:
        """Answer a question; yield its text while it is written and the whole answer last.

        An answerer that does not write, such as the extractive one, yields the whole answer only.
        """
        hits = await self.search(question, k=k, where=where, tenant=tenant)
        if not isinstance(self.answerer, StreamingAnswerer):
            yield AnswerDelta(text="", answer=await self.answerer.answer(question, hits))
            return
        async with aclosing(self.answerer.stream(question, hits)) as deltas:
            async for delta in deltas:
                yield delta

    async def documents(self, *, tenant: str | None = None) -> list[DocumentRecord]:
        """Return the records of the documents in the index."""
        return await (await self.index()).records(tenant=tenant or self.settings.tenant)

    async def delete(self, uris: Sequence[str], *, tenant: str | None = None) -> None:
        """Remove documents from the index; unknown uris are ignored."""
        await (await self.index()).delete(uris, tenant=tenant or self.settings.tenant)

    async def verify(self) -> list[Fault]:
        """Return the faults between records and chunks; empty for a sound index."""
        return await verify(await self.index())

    async def repair(self) -> list[Fault]:
        """Repair the faults that `verify` finds, and return them."""
        async with self._writing:
            faults = await self.verify()
            await repair(await self.index(), faults)
        return faults

    async def index(self, *, create: bool = False) -> Index:
        """Return the index, opened on first use.

        Raises:
            InputError: The index does not exist and `create` is False.
        """
        async with self._opening:
            if self._index is None:
                config = self.settings.index
                identity = identity_for(self.embedder, config)
                self._index = await build_index(config, identity, create=create)
            return self._index

    async def close(self) -> None:
        """Release the index, and the language model unless it was passed."""
        if self._index is not None:
            await self._index.close()
            self._index = None
        if self._own_llm is not None:
            await self._own_llm.close()

    async def __aenter__(self) -> Self:
        """Enter without opening anything."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()


def _sync(
    method: Callable[Concatenate[AsyncRAG, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["RAG", P], T]:
    @functools.wraps(method)
    def call(self: "RAG", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(lambda: method(self.asynchronous, *args, **kwargs))

    return call


class RAG:
    """`AsyncRAG` without `await`: works in scripts, threads, notebooks and running loops.

    Takes the same arguments; `asynchronous` is the object behind it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        index: str | Path | None = None,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        answerer: Answerer | None = None,
        llm: LLM | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Configure the parts. `index` is a folder, a Qdrant URL or `":memory:"`."""
        self.asynchronous = AsyncRAG(
            settings,
            index=index,
            embedder=embedder,
            reranker=reranker,
            answerer=answerer,
            llm=llm,
            on_progress=on_progress,
        )

    ingest = _sync(AsyncRAG.ingest)
    search = _sync(AsyncRAG.search)
    context = _sync(AsyncRAG.context)
    ask = _sync(AsyncRAG.ask)
    documents = _sync(AsyncRAG.documents)
    delete = _sync(AsyncRAG.delete)
    verify = _sync(AsyncRAG.verify)
    repair = _sync(AsyncRAG.repair)
    close = _sync(AsyncRAG.close)

    def __enter__(self) -> Self:
        """Enter without opening anything."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
