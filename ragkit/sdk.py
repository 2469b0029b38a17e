"""The front door: `RAG` for scripts and notebooks, `AsyncRAG` for servers and workflows."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ragkit.answering.build import build_answerer
from ragkit.core.errors import InputError
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
from ragkit.core.types import Answer, AnswerDelta, DocumentRecord
from ragkit.index.build import build_index, identity_for
from ragkit.index.integrity import Fault, repair, verify
from ragkit.index.memory import MemoryIndex
from ragkit.ingest.build import build_chunker, build_reader
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import PathPatterns, SourceItem, SourceOptions, SourceStream
from ragkit.ingest.sources.file import MetadataOf
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
        *sources: SourceItem,
        sync: bool = False,
        force: bool = False,
        dry_run: bool = False,
        source: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        metadata: MetadataOf | None = None,
        replace_metadata: bool = False,
        tenant: str | None = None,
    ) -> IngestReport:
        """Update the index with files, folders and documents.

        Args:
            sources: Paths and globs; documents made in code, as `Document`s, (uri, text) pairs or
                dicts; and iterables and async iterables of these.
            sync: Delete documents that are gone from these sources.
            force: Let a sync delete all or most documents of a folder, and replace documents of
                the same uri that came from elsewhere.
            dry_run: Report what would be done, and do nothing.
            source: The name that uris begin with, instead of the folder's: `NAME`, or
                `NAME=FOLDER` where only a part of that folder is given.
            include: Patterns as in `.gitignore`; files that match none are left alone.
            exclude: Patterns of files and folders that are left alone.
            metadata: Added to every file's metadata: a mapping, or a function of the path. It
                stays when it is not given again.
            replace_metadata: Forget what was added to the metadata earlier.
            tenant: Owner of the documents; `settings.tenant` by default.

        Raises:
            InputError: No source was found, or a pattern or source name cannot be read.
        """
        options = SourceOptions(
            reader=build_reader(self.settings, metadata=metadata),
            patterns=PathPatterns.of(include=include, exclude=exclude),
            source=source,
        )
        pipeline = Pipeline(
            index=await self._index_to_write(dry_run=dry_run),
            chunker=build_chunker(self.settings, self.embedder.tokenizer),
            embedder=self.embedder,
            tenant=tenant or self.settings.tenant,
            batch_chunks=self.settings.ingest.batch_chunks,
            on_progress=self._on_progress,
        )
        run = RunOptions(sync=sync, force=force, dry_run=dry_run, replace_metadata=replace_metadata)
        return await pipeline.run(SourceStream(sources, options), run)

    async def _index_to_write(self, *, dry_run: bool) -> Index:
        """Return the index, made where there is none; a dry run gets an empty one in memory."""
        if not dry_run:
            return await self.index(create=True)
        try:
            return await self.index()
        except InputError:
            config = self.settings.index
            return MemoryIndex(identity_for(self.embedder, config), fields=config.fields)

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
