"""`RAG`: the front door without `await`."""

import functools
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar, Unpack

from ragkit.core.settings import Settings
from ragkit.core.sync import iterate_sync, run_sync
from ragkit.core.types import AnswerDelta
from ragkit.sdk.chat import Conversation
from ragkit.sdk.options import AskOptions, RetrievalOptions
from ragkit.sdk.parts import PartOptions
from ragkit.sdk.rag import AsyncRAG, refuse_pickling

P = ParamSpec("P")
T = TypeVar("T")


def _sync(
    method: Callable[Concatenate[AsyncRAG, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["RAG", P], T]:
    @functools.wraps(method)
    def call(self: "RAG", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(functools.partial(method, self.asynchronous, *args, **kwargs))

    return call


class RAG:
    """`AsyncRAG` without `await`: works in scripts, threads, notebooks and running loops.

    Takes the same arguments; `asynchronous` is the object behind it.
    """

    def __init__(self, settings: Settings | None = None, **parts: Unpack[PartOptions]) -> None:
        """Configure the parts; see `PartOptions`."""
        self.asynchronous = AsyncRAG(settings, **parts)

    @property
    def settings(self) -> Settings:
        """The settings, with the names and settings of parts that were passed."""
        return self.asynchronous.settings

    ingest = _sync(AsyncRAG.ingest)
    search = _sync(AsyncRAG.search)
    context = _sync(AsyncRAG.context)
    ask = _sync(AsyncRAG.ask)
    documents = _sync(AsyncRAG.documents)
    chunks = _sync(AsyncRAG.chunks)
    stats = _sync(AsyncRAG.stats)
    delete = _sync(AsyncRAG.delete)
    verify = _sync(AsyncRAG.verify)
    repair = _sync(AsyncRAG.repair)
    backup = _sync(AsyncRAG.backup)
    restore = _sync(AsyncRAG.restore)
    reindex = _sync(AsyncRAG.reindex)
    close = _sync(AsyncRAG.close)

    def ask_stream(self, question: str, **options: Unpack[AskOptions]) -> Iterator[AnswerDelta]:
        """Answer a question; yield its text while it is written and the whole answer last."""
        return iterate_sync(functools.partial(self.asynchronous.ask_stream, question, **options))

    def chat(
        self,
        *,
        file: str | Path | None = None,
        conversation: str | None = None,
        user: str = "local",
        **options: Unpack[RetrievalOptions],
    ) -> Conversation:
        """Begin a conversation, or go on with one; see `AsyncRAG.chat`."""
        begun = self.asynchronous.chat(file=file, conversation=conversation, user=user, **options)
        return Conversation(begun)

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

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        refuse_pickling(self)
