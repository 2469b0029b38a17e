"""Measuring an agent of the command line's names on tasks with accepted answers."""

from collections.abc import Sequence
from pathlib import Path

from ragkit.agents import run
from ragkit.agents.parts import Agent
from ragkit.cli.agent import agent_of, budget_of
from ragkit.core.protocols import OnProgress
from ragkit.core.settings import Settings
from ragkit.core.types import DocumentRecord, Pattern
from ragkit.evaluation.agents import AgentTask, evaluate_agent
from ragkit.evaluation.checkpoint import Finished, digest, setup_digest, stamp
from ragkit.evaluation.retrieval_run import FINISHED_FILE
from ragkit.evaluation.runs import Evaluation
from ragkit.llm.open import open_llm
from ragkit.llm.wrappers.cache import FileReplies
from ragkit.sdk import AsyncRAG


async def measure_agent(  # noqa: PLR0913  # one argument for each choice of a run
    settings: Settings,
    tasks: Sequence[AgentTask],
    *,
    name: str,
    pattern: Pattern,
    tools: str,
    budget: str = "",
    seed: int = 0,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Have a new agent do each task.

    Finished tasks are kept under `.ragkit/eval` by all that is known to decide them: settings,
    code, pattern, tools, budget, and the documents of the index. Not what a host of `http_get`
    answers, nor what a server's model is under the same name; `fresh` runs them anew.

    Raises:
        ConfigError: No LLM is set, or a tool or limit is unknown.
        InputError: `search_documents` is among the tools, and there is no index.
    """
    limits = budget_of(budget)
    names = [name.strip() for name in tools.split(",")]
    llm = open_llm(settings.llm)
    rag = AsyncRAG(settings)
    store = FileReplies(FINISHED_FILE)

    def made() -> Agent:
        return agent_of(llm, rag, pattern=pattern, tools=tools, budget=limits)

    try:
        made()  # so that a wrong name is told before any task is done
        records = await rag.documents() if "search_documents" in names else []
        decided = (setup_digest(settings), pattern, tools, budget, _known(records), _stamps(names))
        result = await evaluate_agent(
            tasks,
            lambda question: run(made(), question),
            seed=seed,
            finished=Finished(store, identity=digest(*decided), fresh=fresh),
            on_progress=on_progress,
        )
    finally:
        store.close()
        await rag.close()
        await llm.close()
    return Evaluation(
        kind="agents",
        dataset=name,
        documents=len(records),
        chunks=sum(record.chunks for record in records),
        queries=len(tasks),
        stages={pattern: result},
        questions={task.id: task.question for task in tasks},
        fingerprints={task.id: digest(task.question, *sorted(task.gold))[:16] for task in tasks},
        seed=seed,
    )


def _known(records: Sequence[DocumentRecord]) -> str:
    return digest(*sorted(f"{record.uri} {record.generation}" for record in records))


def _stamps(tools: Sequence[str]) -> str:
    """What the databases of `sql=FILE` are known by."""
    files = [Path(name.partition("=")[2]) for name in tools if "=" in name]
    return " ".join(stamp(file) for file in files if file.is_file())
