"""The folder of evaluations: indexes of data sets, finished queries and a model's replies."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM
from ragkit.core.settings import LLMSettings
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.ingest.report import IngestReport
from ragkit.llm.build import build_llm
from ragkit.llm.wrappers.cache import Cache, FileReplies


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFolder:
    """A folder that later runs find again; it can be deleted at any time."""

    path: Path = Path(".ragkit/eval")

    def index_location(self, dataset: str, built: str) -> Path:
        """Return where the index of a data set lies; `built` is a digest of all that shapes it."""
        return self.path / f"{dataset}-{built[:12]}"

    @contextmanager
    def checkpoint(self, identity: str, *, fresh: bool) -> Generator[Checkpoint]:
        """Open the finished queries of the run of this identity."""
        store = FileReplies(self.path / "finished.sqlite")
        try:
            yield Checkpoint(store, identity=identity, fresh=fresh)
        finally:
            store.close()

    @asynccontextmanager
    async def cached_llm(self, settings: LLMSettings) -> AsyncGenerator[LLM]:
        """Open a language model whose replies are kept."""
        llm = build_llm(settings)
        replies = FileReplies(self.path / "replies.sqlite")
        try:
            yield Cache(llm, replies)
        finally:
            replies.close()
            await llm.close()


def check_indexed(report: IngestReport, dataset: str) -> None:
    """Raise `InputError` if a document of a data set could not be ingested."""
    if report.failed:
        first = report.failed[0]
        raise InputError(
            f"{len(report.failed)} documents of {dataset!r} were not indexed; the first is "
            f"{first.uri!r}: {first.reason}"
        )
