"""`AsyncRAG`: documents in, cited answers out."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, Unpack, cast

from ragkit.core.errors import InputError
from ragkit.core.filter_parser import as_filter
from ragkit.core.operation import Operation
from ragkit.core.progress import OnProgress
from ragkit.core.protocols import LLM, Answerer, Embedder, Index, Reranker, StreamingAnswerer
from ragkit.core.secrets import without_credentials
from ragkit.core.settings import Settings
from ragkit.core.tenant import check_tenant
from ragkit.core.types import Answer, AnswerDelta, Chunk, DocumentRecord, FieldType, IndexIdentity
from ragkit.index.integrity import Fault, repair, verify
from ragkit.ingest.build import build_engine, build_reader, build_source
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import PathPatterns, SourceItem, SourceOptions, SourceStream
from ragkit.ingest.sources.file import MetadataOf
from ragkit.retrieval.context import Passage, build_context
from ragkit.retrieval.results import Hits
from ragkit.retrieval.surroundings import Surroundings
from ragkit.sdk.options import (
    AskOptions,
    RetrievalOptions,
    check_names,
    overridden,
    search_options,
)
from ragkit.sdk.parts import PartOptions, RAGParts

if TYPE_CHECKING:
    from ragkit.index.backup import BackupReport
    from ragkit.ingest.rebuild import ReindexReport
    from ragkit.sdk.chat import AsyncConversation


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """Numbers of a tenant's documents and chunks, and the parts that the index was built with.

    Attributes:
        location: A folder, a URL or `":memory:"`.
        tenant: The tenant whose documents are counted.
        documents: Number of documents.
        chunks: Number of their chunks.
        identity: Embedding model, dimensions, prompts and language.
        fields: Filterable fields, built-in and declared.
    """

    location: str
    tenant: str
    documents: int
    chunks: int
    identity: IndexIdentity
    fields: Mapping[str, FieldType]


class AsyncRAG:
    """Documents in, cited answers out.

    Every part comes from `settings` unless it is passed. Nothing is opened or loaded before it is
    needed; `close` (or `async with`) releases the parts that it opened.
    """

    def __init__(self, settings: Settings | None = None, **parts: Unpack[PartOptions]) -> None:
        """Configure the parts; see `PartOptions`.

        Raises:
            ConfigError: A part is neither an object of its kind nor a name nor settings.
            InputError: An option is unknown.
        """
        self._parts = RAGParts(settings or Settings.load(), parts)
        self._repairing = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """The settings, with the names and settings of parts that were passed."""
        return self._parts.settings

    @property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        return self._parts.embedder

    @property
    def reranker(self) -> Reranker | None:
        """The reranker in use, or None."""
        return self._parts.reranker

    @property
    def llm(self) -> LLM | None:
        """The language model in use, or None."""
        return self._parts.llm

    @property
    def answerer(self) -> Answerer:
        """The answerer in use."""
        return self._parts.answerer(self.settings)

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
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Update the index with files, folders, web pages and documents.

        Args:
            sources: Paths, globs and URLs; `sql:NAME` for a query of the settings; collections
                such as `ragkit.ingest.sources.Sitemap`;
                documents made in code, as `Document`s, (uri, text) pairs or dicts; and iterables
                and async iterables of these.
            sync: Delete documents that are gone from these sources.
            force: Let a sync delete all or most documents of a folder, and replace documents of
                the same uri that came from elsewhere.
            dry_run: Report what would be done, and do nothing.
            source: The name that uris begin with, instead of the folder's: `NAME`, or
                `NAME=FOLDER` if only a part of that folder is passed.
            include: Patterns as in `.gitignore`; files that match none are left alone.
            exclude: Patterns of files and folders that are left alone.
            metadata: Added to the documents' own: a mapping for all, or a function of the path
                for files and web pages. It stays when it is not passed again.
            replace_metadata: Forget what was added to the metadata earlier.
            tenant: Owner of the documents; `settings.tenant` by default.
            on_progress: Called at every step of this ingestion, instead of that of the `RAG`.

        Raises:
            InputError: No source was found, or a pattern, source name or tenant cannot be used.
        """
        if not sources:
            raise InputError("Nothing was given to ingest. Fix: name a folder, or give documents.")
        parts, config = self._parts, self.settings.ingest
        options = SourceOptions(
            reader=build_reader(self.settings, metadata=metadata, loaders=parts.loaders),
            patterns=PathPatterns.of(include=include, exclude=exclude),
            source=source,
        )
        pipeline = Pipeline(
            index=await parts.index_to_write(dry_run=dry_run),
            chunker=parts.chunker,
            embedder=self.embedder,
            tenant=self._tenant(tenant),
            context=config.context,
            llm=parts.llm if config.context == "model" else None,
            batch_chunks=config.batch_chunks,
            engine=build_engine(config),
            on_progress=on_progress or parts.on_progress,
            checkpoints=parts.checkpoints,
        )
        run = RunOptions(sync=sync, force=force, dry_run=dry_run, replace_metadata=replace_metadata)
        items = [build_source(one, self.settings.ingest) for one in sources]
        return await pipeline.run(SourceStream(items, options), run)

    async def search(self, query: str, **options: Unpack[RetrievalOptions]) -> Hits:
        """Return the chunks that fit the query best, each with its rank in every stage.

        Args:
            query: A question or some words.
            **options: See `RetrievalOptions`.

        Raises:
            InputError: The query, the filter or another option cannot be used.
            ConfigError: A transformation needs a language model, or an option a part, and none is
                set.
        """
        check_names(options, RetrievalOptions.__optional_keys__, call="search")
        settings = overridden(self.settings, options)
        index = await self.index()
        retriever = self._parts.retriever(settings, index, rerank=options.get("rerank"))
        tenant = self._tenant(options.get("tenant"))
        with Operation(kind="search", content={"query": lambda: query}) as operation:
            hits = await retriever.search(query, **search_options(options, tenant=tenant))
            operation.facts["hits"] = len(hits)
            operation.content["documents"] = hits.shown
        near = Surroundings(index=index, tenant=tenant, where=as_filter(options.get("where")))
        return Hits(hits, hits.explanation, surroundings=near)

    async def context(self, query: str, **options: Unpack[RetrievalOptions]) -> list[Passage]:
        """Return passages for a language model, in order: merged, packed, best first.

        They are made of 20 hits unless `k` is given, and hold at most
        `settings.retrieval.context_tokens` of the embedder's tokens. With
        `settings.retrieval.best_at_the_ends` the best stand first and last.
        """
        options.setdefault("k", 20)
        hits = await self.search(query, **options)
        starts = self.embedder.tokenizer.token_starts
        config = self.settings.retrieval
        return build_context(
            hits,
            budget=config.context_tokens,
            count=lambda text: len(starts(text)),
            ends=config.best_at_the_ends,
        )

    async def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a question with verbatim citations, or abstain.

        Args:
            question: The question.
            **options: See `AskOptions`.

        Raises:
            InputError: The question, the filter or another option cannot be used.
            ConfigError: A part is needed that is not set, or an answerer was passed and the
                options are not its own.
        """
        with Operation(kind="answer", content={"question": lambda: question}) as operation:
            answerer, hits = await self._evidence(question, options)
            answer = await answerer.answer(question, hits)
            operation.facts["abstained"] = answer.abstained
            operation.content["answer"] = lambda: answer.text
            return answer

    def ask_stream(
        self, question: str, **options: Unpack[AskOptions]
    ) -> AsyncGenerator[AnswerDelta]:
        """Answer a question; yield its text while it is written and the whole answer last.

        An answerer that does not write, such as the extractive one, yields the whole answer only.
        See `ask` for options and errors.
        """
        operation = Operation(kind="answer", content={"question": lambda: question})
        return operation.watched(self._answered(question, options))

    async def _answered(self, question: str, options: AskOptions) -> AsyncGenerator[AnswerDelta]:
        answerer, hits = await self._evidence(question, options)
        if not isinstance(answerer, StreamingAnswerer):
            yield AnswerDelta(text="", answer=await answerer.answer(question, hits))
            return
        async with aclosing(answerer.stream(question, hits)) as deltas:
            async for delta in deltas:
                yield delta

    def chat(
        self,
        *,
        file: str | Path | None = None,
        conversation: str | None = None,
        user: str = "local",
        **options: Unpack[RetrievalOptions],
    ) -> "AsyncConversation":
        """Begin a conversation, or go on with one.

        With a language model, a question that refers to earlier ones is rewritten to one that
        stands alone; without one it is searched for as it is, and `ChatAnswer.condensed` says so.

        Args:
            file: A SQLite file or a `postgresql://` URL, in which conversations are kept; by
                default nothing is kept.
            conversation: The id of a conversation in the file to go on with.
            user: Whose conversations these are; those of others are not reached.
            **options: Of every search; see `RetrievalOptions`.

        Raises:
            InputError: There is no such conversation, a name is empty, or an option is unknown.
        """
        from ragkit.answering.conversations import Owner
        from ragkit.sdk.chat import AsyncConversation

        check_names(options, RetrievalOptions.__optional_keys__, call="chat")
        if conversation is not None and file is None:
            raise InputError("conversation is given without file. Fix: pass the file it is in.")
        if not user:
            raise InputError(f"user is {user!r}. Fix: name one, or leave it out.")
        owner = Owner(name=user, tenant=self._tenant(options.get("tenant")))
        store = None if file is None else self._parts.conversations(file)
        talk = AsyncConversation(rag=self, owner=owner, options=options, store=store)
        if store is not None and conversation is not None:
            talk.history.extend(turn.message for turn in store.turns(owner, conversation))
            talk.id = conversation
        return talk

    async def _evidence(self, question: str, options: AskOptions) -> tuple[Answerer, Hits]:
        """Return the answerer of a call, and the passages that it answers from."""
        check_names(options, AskOptions.__optional_keys__, call="ask")
        settings = overridden(self.settings, options)
        # Models are loaded beside the event loop.
        answerer = await asyncio.to_thread(self._parts.answerer, settings)
        known = RetrievalOptions.__optional_keys__
        retrieval = {name: value for name, value in options.items() if name in known}
        return answerer, await self.search(question, **cast("RetrievalOptions", retrieval))

    async def documents(
        self, uris: Sequence[str] | None = None, *, tenant: str | None = None
    ) -> list[DocumentRecord]:
        """Return the records of the documents in the index, of all or of those with these uris."""
        return await (await self.index()).records(uris, tenant=self._tenant(tenant))

    async def chunks(self, uri: str, *, tenant: str | None = None) -> list[Chunk]:
        """Return the chunks of a document in reading order; none if it is not in the index."""
        return await (await self.index()).chunks([uri], tenant=self._tenant(tenant))

    async def stats(self, *, tenant: str | None = None) -> IndexStats:
        """Return the numbers of documents and chunks, and what the index was built with."""
        index, owner = await self.index(), self._tenant(tenant)
        records = await index.records(tenant=owner)
        return IndexStats(
            location=without_credentials(self.settings.index.location),
            tenant=owner,
            documents=len(records),
            chunks=sum(record.chunks for record in records),
            identity=index.identity,
            fields=index.fields,
        )

    async def delete(self, uris: str | Sequence[str], *, tenant: str | None = None) -> int:
        """Remove documents from the index; return the number of those removed.

        Args:
            uris: One uri or several; unknown ones are ignored.
            tenant: Owner of the documents; `settings.tenant` by default.
        """
        named = [uris] if isinstance(uris, str) else uris
        return await (await self.index()).delete(named, tenant=self._tenant(tenant))

    async def verify(self) -> list[Fault]:
        """Return the faults between records and chunks; empty for a sound index."""
        return await verify(await self.index())

    async def repair(self) -> list[Fault]:
        """Repair the faults that `verify` finds, and return them."""
        async with self._repairing:
            faults = await self.verify()
            await repair(await self.index(), faults)
        return faults

    async def backup(self, file: str | Path, *, tenant: str | None = None) -> "BackupReport":
        """Write all documents with their vectors to a new file, while the index stays in use.

        Args:
            file: The file; `restore` reads it, also into an index of another kind.
            tenant: Only of this tenant; of all tenants by default.

        Raises:
            InputError: The file exists or cannot be written.
        """
        from ragkit.index.backup import write_backup

        return await write_backup(await self.index(), Path(file), tenant=tenant)

    async def restore(self, file: str | Path, *, force: bool = False) -> "BackupReport":
        """Store the documents of a backup; the report counts those that are stored afterwards.

        Args:
            file: What `backup` wrote.
            force: Replace other versions of these documents.

        Raises:
            InputError: The file is damaged, or other versions are stored and `force` is False.
            IndexMismatch: The index was built with another embedder.
        """
        from ragkit.index.backup import check_backup, restore_backup

        await asyncio.to_thread(check_backup, Path(file))  # before an index is created for it
        return await restore_backup(await self.index(create=True), Path(file), force=force)

    async def reindex(self, *, on_progress: OnProgress | None = None) -> "ReindexReport":
        """Build the index again with the settings of now, from the documents stored in it.

        The new index is built beside the old one, which other processes search and write meanwhile;
        what they store or delete is carried over. It takes the old one's place at once. A run that
        broke off goes on where it stopped. All tenants' documents are taken.

        Args:
            on_progress: Called while it is built, instead of that of the `RAG`.

        Raises:
            InputError: The index cannot be built again, or a document in it is not whole.
            IndexMissing: There is no index.
            IndexMismatch: It has a layout that this ragkit does not read.
            IndexLocked: Another process is building it again.
        """
        from ragkit.sdk.reindex import reindex

        return await reindex(self._parts, on_progress or self._parts.on_progress)

    async def index(self, *, create: bool = False) -> Index:
        """Return the index, opened on first use.

        Raises:
            IndexMissing: It does not exist and `create` is False.
            IndexMismatch: It was built with other parts.
        """
        return await self._parts.index(create=create)

    async def close(self) -> None:
        """Release the index, the language model and conversations, unless they were passed."""
        await self._parts.close()

    def _tenant(self, tenant: str | None) -> str:
        return self.settings.tenant if tenant is None else check_tenant(tenant)

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

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        refuse_pickling(self)


def refuse_pickling(rag: object) -> NoReturn:
    """Raise `TypeError`: open stores and loaded models belong to one process."""
    raise TypeError(
        f"{type(rag).__name__} cannot be pickled, since it holds open stores and models. Fix: "
        "pass its settings, and make a new one in the other process."
    )
