"""The parts of a `RAG`: objects that were passed, or built from names and settings on first use."""

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from ragkit.answering.build import build_answerer
from ragkit.core.errors import ConfigError, IndexMissing, MissingExtraError
from ragkit.core.progress import OnProgress
from ragkit.core.protocols import LLM, Answerer, Chunker, Embedder, Index, Loader, Reranker
from ragkit.core.settings import (
    AnswerSettings,
    EmbedderSettings,
    IndexSettings,
    IngestSettings,
    LLMSettings,
    RerankerSettings,
    RetrievalSettings,
    Settings,
)
from ragkit.core.text import check_language
from ragkit.core.types import ChunkerName
from ragkit.index.build import build_index, folder, identity_for, is_folder
from ragkit.index.layout import check_identity
from ragkit.index.memory import MemoryIndex
from ragkit.ingest.build import build_chunker
from ragkit.ingest.vector_checkpoint import VectorCheckpoints
from ragkit.llm.build import check_llm
from ragkit.models.build import build_embedder, build_reranker, check_embedder, check_reranker
from ragkit.retrieval.build import build_retriever
from ragkit.retrieval.protocol import Retriever
from ragkit.sdk.options import RETRIEVAL, check_names

if TYPE_CHECKING:
    from ragkit.answering.conversations import ConversationStore


class PartOptions(TypedDict, total=False):
    """Parts of `RAG` and `AsyncRAG`: an object, a name, or settings for each.

    A part that is left out (or None) is the settings' own.

    Attributes:
        index: A folder, a Qdrant URL, `ragkit:` and the URL of a ragkit server, `":memory:"`, or an
            open `Index`, which stays open.
        api_key: The key of the index's server.
        embedder: `"packaged:all-minilm-l6-v2"` or `"sentence-transformers:<folder or hub name>"`.
        reranker: `"packaged:minilm-reader"` or `"cross-encoder:<folder or hub name>"`.
        answerer: `"snippet"`, `"reader"`, `"extractive"` or `"generative"`.
        llm: `"vllm:<URL>[#model]"`, another server by its kind, or `"local:<folder or hub name>"`
            (`Settings.llm`); an object stays open.
        chunker: `"recursive:<tokens>"`, or one of the others (docs/ingestion.md).
        loaders: Loaders by file extension, before those of ragkit.
        retriever: `"hybrid:scores"` or `"hybrid:rrf"`. An object replaces search as a whole.
        on_progress: Called while documents are ingested.
    """

    index: str | Path | IndexSettings | Index | None
    api_key: str | None
    embedder: str | EmbedderSettings | Embedder | None
    reranker: str | RerankerSettings | Reranker | None
    answerer: str | AnswerSettings | Answerer | None
    llm: str | LLMSettings | LLM | None
    chunker: str | IngestSettings | Chunker | None
    loaders: Mapping[str, Loader] | None
    retriever: str | RetrievalSettings | Retriever | None
    on_progress: OnProgress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartKind:
    """A part's section in the settings, the setting that its name sets, and an object's method.

    A name may begin with one of the providers; `choice` is the setting that they set, if any.
    """

    section: str
    setting: str
    method: str
    providers: tuple[str, ...] = ()
    choice: str = ""


_KINDS: Mapping[str, _PartKind] = {
    "index": _PartKind(section="index", setting="location", method="commit"),
    "embedder": _PartKind(section="embedder", setting="model", method="embed"),
    "reranker": _PartKind(section="reranker", setting="model", method="rerank"),
    "answerer": _PartKind(section="answer", setting="mode", method="answer"),
    "llm": _PartKind(section="llm", setting="model", method="complete"),
    "chunker": _PartKind(
        section="ingest",
        setting="chunk_tokens",
        method="chunk",
        providers=get_args(ChunkerName),
        choice="chunker",
    ),
    "retriever": _PartKind(
        section="retrieval", setting="fusion", method="search", providers=("hybrid",)
    ),
}


class RAGParts:
    """The parts of one `RAG`; nothing is opened or loaded before it is needed."""

    def __init__(self, settings: Settings, options: PartOptions) -> None:
        """Sort the options into objects and settings.

        Raises:
            ConfigError: A part is neither an object of its kind nor a name nor settings.
            InputError: An option is unknown.
        """
        check_names(options, PartOptions.__optional_keys__, call="RAG")
        self._objects: dict[str, object] = {}
        for name, value in options.items():
            kind = _KINDS.get(name)
            if kind is None or value is None:
                continue
            own = cast("BaseModel", getattr(settings, kind.section))
            section = _section(name, kind, value, own)
            if section is None:
                self._objects[name] = value
            else:
                settings = settings.model_copy(update={kind.section: section})
        if (api_key := options.get("api_key")) is not None:
            keyed = settings.index.model_copy(update={"api_key": SecretStr(api_key)})
            settings = settings.model_copy(update={"index": keyed})
        self._check_models(settings)
        self.settings = settings
        start_telemetry(settings)
        self.loaders: Mapping[str, Loader] = _loaders(options.get("loaders") or {})
        self.on_progress = options.get("on_progress")
        self._own_llm: LLM | None = None
        self._index: Index | None = None
        self._opening = asyncio.Lock()
        self._answerers: dict[AnswerSettings, Answerer] = {}
        self._stores: dict[str, ConversationStore] = {}

    @property
    def has_own_index(self) -> bool:
        """True where the index was passed as an object."""
        return "index" in self._objects

    @property
    def checkpoints(self) -> VectorCheckpoints | None:
        """The vectors of documents that are being embedded; None without a folder for them."""
        location = self.settings.index.location
        if self.has_own_index or not is_folder(location):
            return None
        return VectorCheckpoints(folder(location) / "ragkit.vectors")

    def _check_models(self, settings: Settings) -> None:
        """Raise `ConfigError` for a name that is unknown, before anything is loaded."""
        if "embedder" not in self._objects:
            check_embedder(settings.embedder)
        if "reranker" not in self._objects:
            check_reranker(settings.reranker)
        if "llm" not in self._objects and settings.llm.model is not None:
            check_llm(settings.llm)
        if "index" not in self._objects:
            check_language(settings.index.language)

    @functools.cached_property
    def embedder(self) -> Embedder:
        """The embedder in use."""
        given = cast("Embedder | None", self._objects.get("embedder"))
        return given or build_embedder(self.settings.embedder)

    @functools.cached_property
    def reranker(self) -> Reranker | None:
        """The reranker in use, or None."""
        given = cast("Reranker | None", self._objects.get("reranker"))
        return given or build_reranker(self.settings.reranker)

    @functools.cached_property
    def llm(self) -> LLM | None:
        """The language model in use, or None."""
        given = cast("LLM | None", self._objects.get("llm"))
        if given is not None or self.settings.llm.model is None:
            return given
        from ragkit.llm.build import build_llm  # with the compiler of grammars

        self._own_llm = build_llm(self.settings.llm)
        return self._own_llm

    @functools.cached_property
    def chunker(self) -> Chunker:
        """The chunker in use."""
        given = cast("Chunker | None", self._objects.get("chunker"))
        return given or build_chunker(
            self.settings, self.embedder.tokenizer, embedder=self.embedder
        )

    def answerer(self, settings: Settings) -> Answerer:
        """Return the answerer of these settings, which may be those of one call.

        Raises:
            ConfigError: An answerer was passed and the call overrides its settings, or a language
                model is needed and none is set.
        """
        given = cast("Answerer | None", self._objects.get("answerer"))
        if given is not None:
            if settings.answer != self.settings.answer:
                raise ConfigError(
                    "An answerer was passed, so mode, threshold and max_quotes cannot be set for "
                    "a call. Fix: configure the answerer, or pass a mode instead of it."
                )
            return given
        if settings.answer not in self._answerers:
            llm = self.llm if settings.answer.mode == "generative" else None
            self._answerers[settings.answer] = build_answerer(
                settings, embedder=self.embedder, llm=llm
            )
        return self._answerers[settings.answer]

    def retriever(
        self, settings: Settings, index: Index, *, rerank: bool | None = None
    ) -> Retriever:
        """Return the retriever of these settings, which may be those of one call.

        Raises:
            ConfigError: A retriever was passed and the call overrides its settings, or a part is
                needed that is not set.
        """
        given = cast("Retriever | None", self._objects.get("retriever"))
        if given is not None:
            if settings.retrieval != self.settings.retrieval or rerank is not None:
                raise ConfigError(
                    f"A retriever was passed, so rerank, {', '.join(RETRIEVAL)} cannot be set for "
                    "a call. Fix: configure the retriever."
                )
            return given
        if rerank and self.reranker is None:
            raise ConfigError(
                "rerank=True needs a reranker, and none is set. Fix: set reranker.model "
                "(RAGKIT_RERANKER__MODEL=packaged:minilm-reader)."
            )
        return build_retriever(
            settings,
            index=index,
            embedder=self.embedder,
            reranker=None if rerank is False else self.reranker,
            llm=self.llm if settings.retrieval.transform is not None else None,
        )

    async def index(self, *, create: bool = False) -> Index:
        """Return the index, opened on first use.

        Raises:
            IndexMissing: It does not exist and `create` is False.
            IndexMismatch: It was built with other parts.
        """
        async with self._opening:
            if self._index is None:
                # The identity takes the model's weights, which are read here.
                wanted = await asyncio.to_thread(identity_for, self.embedder, self.settings.index)
                given = cast("Index | None", self._objects.get("index"))
                if given is not None:
                    stored = given.identity
                    wanted = replace(
                        wanted,
                        search_dimensions=stored.search_dimensions,
                        language=stored.language,
                    )
                    check_identity(stored, wanted, location=type(given).__name__)
                self._index = given or await build_index(self.settings.index, wanted, create=create)
            return self._index

    async def index_to_write(self, *, dry_run: bool) -> Index:
        """Return the index, made if missing; a dry run gets an empty one in memory instead."""
        if not dry_run:
            return await self.index(create=True)
        try:
            return await self.index()
        except IndexMissing:
            config = self.settings.index
            return MemoryIndex(identity_for(self.embedder, config), fields=config.fields)

    def conversations(self, place: str | Path) -> "ConversationStore":
        """Return the conversations of a file or a PostgreSQL server, which are opened once."""
        from ragkit.answering.conversations import ConversationStore

        if str(place) not in self._stores:
            self._stores[str(place)] = ConversationStore(place)
        return self._stores[str(place)]

    async def close(self) -> None:
        """Release the index, the language model and conversations, unless they were passed."""
        for store in self._stores.values():
            store.close()
        if self._index is not None and not self.has_own_index:
            await self._index.close()
        self._index = None
        if self._own_llm is not None:
            await self._own_llm.close()


def start_telemetry(settings: Settings) -> None:
    """Send the traces of this process as the settings say; nothing is imported where they are off.

    Raises:
        ConfigError: Traces are sent already, as other settings say, or the URL is none.
        MissingExtraError: OpenTelemetry is not installed.
    """
    if settings.telemetry.export == "off":
        return
    try:
        from ragkit.telemetry.telemetry import TELEMETRY
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "opentelemetry", extra="telemetry") from error
    TELEMETRY.start(settings)


def _section(name: str, kind: _PartKind, value: object, section: BaseModel) -> BaseModel | None:
    """Return the settings that a name or settings stand for, None for an object."""
    if isinstance(value, type(section)):
        return value
    if isinstance(value, str | Path):
        return _named(name, kind, str(value), section)
    if not hasattr(value, kind.method):
        raise ConfigError(
            f"{name} is {value!r}. Fix: pass an object with a method {kind.method!r}, a name, or "
            f"{type(section).__name__}."
        )
    return None


def _named(name: str, kind: _PartKind, value: str, section: BaseModel) -> BaseModel:
    chosen = {kind.setting: value}
    if kind.providers:
        provider, _, setting = value.partition(":")
        if provider not in kind.providers or not setting:
            wanted = " or ".join(f"'{one}:<{kind.setting}>'" for one in kind.providers)
            raise ConfigError(f"{name} is {value!r}. Fix: write {wanted}.")
        chosen = {kind.setting: setting} | ({kind.choice: provider} if kind.choice else {})
    try:
        return type(section).model_validate({**section.model_dump(), **chosen})
    except ValidationError as error:
        raise ConfigError(f"{name} is {value!r}. Fix: {error.errors()[0]['msg']}.") from error


def _loaders(given: Mapping[str, Loader]) -> dict[str, Loader]:
    for extension, loader in given.items():
        if not extension.startswith(".") or not hasattr(loader, "load"):
            raise ConfigError(
                f"loaders has {extension!r}: {loader!r}. Fix: map an extension such as '.txt' to "
                "an object with a method 'load'."
            )
    return {extension.lower(): loader for extension, loader in given.items()}
