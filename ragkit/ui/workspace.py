"""Everything that the pages share in one process: index, models, conversations, jobs, logs."""

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, Embedder, Index, Reranker
from ragkit.core.settings import RerankerSettings, Settings
from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk, DocumentRecord, Hit
from ragkit.models.build import build_reranker
from ragkit.sdk import AsyncRAG
from ragkit.ui.agent_checkpoints import AgentCheckpoints
from ragkit.ui.background import Job
from ragkit.ui.conversations import Conversations
from ragkit.ui.failures import FailureHandler, FailureLog
from ragkit.ui.latency import Latencies
from ragkit.ui.options import Options
from ragkit.ui.readiness import LoadStep, Readiness
from ragkit.ui.shared_rag import DensePrefix, PassageVectors, SharedRAG

if TYPE_CHECKING:
    from ragkit.ui.agent_run import AgentRun
    from ragkit.ui.answer_job import AnswerJob
    from ragkit.ui.doctor import DoctorCheck
    from ragkit.ui.evaluation_runs import EvaluationRun
    from ragkit.ui.ingestion import Ingestion
    from ragkit.ui.inspection import Inspector
    from ragkit.ui.run_store import RunStore

_PATIENCE_S = 5.0
"""Seconds that a page waits for an index on a server that is away, where nothing else is set."""
_VARIANTS = 64
_WARMING = Hit(
    chunk=Chunk(id="warming", uri="", title="Ready?", text="Yes, it is ready.", start=0, end=17),
    score=1.0,
    trace={},
)
"""A passage to answer from, so that everything that answers is loaded."""


class Workspace:
    """The application's state that outlives reruns and sessions.

    Attributes:
        options: As the application was started.
        settings: In force, with what the options say.
        rag: Owner of index and models.
        models: State of loading.
        conversations: Kept conversations.
        failures: What failed.
        latencies: Times by stage.
        answers: Answers in progress, and those that could not be kept, by conversation.
        agent_runs: The last run of an agent of each owner.
        kept_agent_runs: Runs that are in the store already.
        agent_checkpoints: The states of runs that wait for a person.
        evaluation: The last evaluation.
        doctor: The last run of `ragkit doctor`.
        ingestion: The ingestion that runs, or the last one.
        revision: Grows with every change that this process makes to the documents.
    """

    def __init__(
        self,
        options: Options,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        llm: LLM | None = None,
    ) -> None:
        """Prepare everything without opening the index or loading a model.

        Raises:
            ConfigError: The settings cannot be read.
        """
        self.options = options
        self.settings = chosen_settings(settings or Settings.load(options.config), options)
        self.rag = AsyncRAG(self.settings, embedder=embedder, llm=llm)
        self.data = options.data.expanduser()
        self.conversations = Conversations(self.data / "conversations.sqlite")
        self.failures, self.latencies = FailureLog(), Latencies()
        self.answers: dict[str, AnswerJob] = {}
        self.models = Readiness(
            [
                LoadStep(name="embedding model", load=self._load_embedder),
                LoadStep(name="index", load=self._open_index),
                LoadStep(name="answers", load=self._load_answerer),
            ]
        )
        self.agent_runs: dict[str, AgentRun] = {}
        self.kept_agent_runs: list[AgentRun] = []
        self.agent_checkpoints = AgentCheckpoints(self.data / "agents")
        self.evaluation: EvaluationRun | None = None
        self.doctor: Job[list[DoctorCheck]] | None = None
        self.ingestion: Ingestion | None = None
        self.revision = 0
        self._given_llm = llm
        self._llms: dict[str, LLM] = {}
        self._variants: dict[str, SharedRAG] = {}
        self._vectors: PassageVectors | None = None
        self._key_writes = True
        logging.getLogger("ragkit").addHandler(FailureHandler(self.failures))

    @property
    def tenant(self) -> str:
        """The owner of the documents that are shown."""
        return self.settings.tenant

    @property
    def writable(self) -> bool:
        """False where documents cannot be added or deleted: by the options, or by the key."""
        return self._key_writes and not self.options.read_only

    @property
    def uploads(self) -> Path:
        """Folder of this tenant's uploaded files."""
        return self.data / "uploads" / self.tenant

    @property
    def evaluations(self) -> Path:
        """Folder of kept evaluations."""
        return self.data / "evaluations"

    def start(self) -> None:
        """Begin to load models and index, unless that was done before."""
        self.models.start()

    def documents(self) -> list[DocumentRecord]:
        """Return the tenant's documents.

        Raises:
            InputError: There is no index yet.
        """
        return run_sync(self.rag.documents)

    def llm(self, model: str | None) -> LLM | None:
        """Return the language model of this name, opened once; None where no name is given."""
        if self._given_llm is not None and model in (None, self._given_llm.model):
            return self._given_llm
        if not model:
            return None
        if model not in self._llms:
            from ragkit.llm.build import build_llm  # with the compiler of grammars

            self._llms[model] = build_llm(self.settings.llm.model_copy(update={"model": model}))
        return self._llms[model]

    def reranker(self, settings: RerankerSettings) -> Reranker | None:
        """Return the reranker of these settings; the packaged one's network is loaded once."""
        return build_reranker(settings)

    def variant(
        self,
        settings: Settings,
        *,
        dimensions: int | None = None,
    ) -> SharedRAG:
        """Return the SDK under other settings, over the same index and models."""
        key = json.dumps([settings.model_dump(mode="json"), dimensions], sort_keys=True)
        if key in self._variants:
            return self._variants[key]
        if self._vectors is None:
            self._vectors = PassageVectors()
        prefix = None
        if dimensions is not None:
            prefix = DensePrefix(vectors=self._vectors, dimensions=dimensions)
        made = SharedRAG(
            self.rag,
            settings,
            reranker=self.reranker(settings.reranker),
            llm=self.llm(settings.llm.model),
            prefix=prefix,
        )
        while len(self._variants) >= _VARIANTS:
            self._variants.pop(next(iter(self._variants)))
        self._variants[key] = made
        return made

    @functools.cached_property
    def agent_store(self) -> "RunStore":
        """Kept runs of agents."""
        from ragkit.ui.run_store import RunStore  # with langgraph, which takes half a second

        return RunStore(self.data / "agents")

    @functools.cached_property
    def inspector(self) -> "Inspector":
        """Searches with explanations."""
        from ragkit.ui.inspection import Inspector  # which imports this module

        return Inspector(self)

    def example_questions(self, count: int) -> list[str]:
        """Return the first answerable questions of the file that was given, if any.

        Raises:
            InputError: The file cannot be read.
        """
        if self.options.questions is None:
            return []
        try:
            lines = self.options.questions.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            asked = [str(row["question"]) for row in rows if row.get("answerable", True)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"Questions cannot be read from {str(self.options.questions)!r}: {error}. "
                'Fix: give JSON Lines with {"question": "..."} on each.'
            ) from error
        step = max(1, len(asked) // count)
        return asked[::step][:count]

    def close(self) -> None:
        """Release index, models and files."""
        run_sync(self.rag.close)
        run_sync(self.agent_checkpoints.close)
        self.conversations.close()

    def _load_embedder(self) -> None:
        embedder = self.rag.embedder
        run_sync(lambda: embedder.embed(["Ready?"], task="query"))

    def _open_index(self) -> None:
        from ragkit.index.remote import RemoteIndex  # with an HTTP client

        async def opened() -> Index:
            index = await self.rag.index()
            await index.records([], tenant=self.tenant)  # a key may be another tenant's
            return index

        index = run_sync(opened)
        self._key_writes = not isinstance(index, RemoteIndex) or index.writable

    def _load_answerer(self) -> None:
        answerer = self.rag.answerer
        if self.settings.answer.mode != "generative":  # a model's server is not asked for nothing
            run_sync(lambda: answerer.answer(_WARMING.chunk.title, [_WARMING]))


def chosen_settings(settings: Settings, options: Options) -> Settings:
    """Return settings with what the options say instead of them."""
    index: dict[str, object] = {"location": options.index or settings.index.location}
    if "retry_s" not in settings.index.model_fields_set:
        index["retry_s"] = _PATIENCE_S
    model = options.llm or settings.llm.model
    return settings.model_copy(
        update={
            "index": settings.index.model_copy(update=index),
            "llm": settings.llm.model_copy(update={"model": model}),
            "tenant": options.tenant or settings.tenant,
        }
    )


@dataclass(slots=True)
class _Installed:
    """The workspace of this process."""

    make: Callable[[], Workspace] | None = None
    made: Workspace | None = None


_INSTALLED = _Installed()


def install(make: Callable[[], Workspace]) -> None:
    """Name the function that makes the workspace of this process when it is first needed."""
    _INSTALLED.make, _INSTALLED.made = make, None


def workspace() -> Workspace:
    """Return the workspace of this process.

    Raises:
        ConfigError: None was installed, or its settings cannot be read.
    """
    if _INSTALLED.made is None:
        if _INSTALLED.make is None:
            raise ConfigError("The application was not started by `ragkit ui`. Fix: ragkit ui")
        _INSTALLED.made = _INSTALLED.make()
    return _INSTALLED.made
