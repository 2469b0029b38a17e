"""The command line: `ragkit ingest | search | ask | agent | eval | verify | doctor`.

Exit status: 0 when all went well, 1 for an error, 2 for a wrong call, 3 when an ingestion finished
but some documents failed, 4 when `verify` found faults.
"""

import asyncio
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, get_args

import typer

from ragkit import console
from ragkit.core.errors import ConfigError, RagkitError
from ragkit.core.settings import Settings
from ragkit.core.types import DEFAULT_TENANT, Pattern
from ragkit.doctor import examine
from ragkit.evaluate import default_stages, evaluate_dataset
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.retrieval import Stage
from ragkit.sdk import RAG

FAILED_DOCUMENTS, FAULTS_FOUND = 3, 4

P = ParamSpec("P")

app = typer.Typer(
    name="ragkit",
    help="Retrieval-augmented generation and agents on models that you host yourself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Index = Annotated[
    str | None,
    typer.Option("--index", help="Folder or Qdrant URL of the index.", metavar="DIR|URL"),
]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose documents.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file instead of ./ragkit.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
K = Annotated[int | None, typer.Option("--k", min=1, help="How many hits.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help='Filter, such as: year >= 2020 and lang in ["en", "de"]'),
]


def main() -> None:
    """Run the command line."""
    app()


def _reporting(command: Callable[P, int | None]) -> Callable[P, None]:
    """Show ragkit's errors as one line (or JSON) and turn results into exit statuses."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
        except RagkitError as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            sys.exit(130)
        sys.exit(status or 0)

    return run


def _fail(error: RagkitError, *, as_json: bool) -> NoReturn:
    kind = type(error).__name__
    if as_json:
        console.print_json({"error": {"type": kind, "message": str(error)}})
    else:
        console.err.print(f"{kind}: {error}", style="red", markup=False, soft_wrap=True)
    sys.exit(1)


def _settings(config: Path | None, index: str | None, tenant: str | None) -> Settings:
    settings = Settings.load(config)
    location = index or settings.index.location
    return settings.model_copy(
        update={
            "index": settings.index.model_copy(update={"location": location}),
            "tenant": tenant or settings.tenant,
        }
    )


@app.command()
@_reporting
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    *,
    index: Index = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Delete documents that are gone from these folders.")
    ] = False,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Bring the index up to date with files and folders."""
    settings = _settings(config, index, tenant)
    with console.progress(quiet=as_json) as on_progress:
        rag = RAG(settings, on_progress=on_progress)
        try:
            report = rag.ingest(*paths, sync=sync)
        finally:
            rag.close()
    if as_json:
        console.print_json(report)
    else:
        console.show_report(report)
    return 0 if report.ok else FAILED_DOCUMENTS


@app.command()
@_reporting
def search(
    query: str,
    *,
    k: K = None,
    where: Where = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every stage.")] = False,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Find the passages that fit a query best."""
    with RAG(_settings(config, index, tenant)) as rag:
        hits = rag.search(query, k=k, where=where, explain=explain)
        reranked = rag.asynchronous.reranker is not None
    if as_json:
        console.print_json(console.search_json(query, hits))
    else:
        console.show_hits(hits)
        console.show_reranking(reranked=reranked)


@app.command()
@_reporting
def ask(
    query: str,
    *,
    k: K = None,
    where: Where = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Answer a question with verbatim quotes, or say that the documents don't."""
    with RAG(_settings(config, index, tenant)) as rag:
        answer = rag.ask(query, k=k, where=where)
        reranked = rag.asynchronous.reranker is not None
    if as_json:
        console.print_json(console.answer_json(query, answer))
    else:
        console.show_answer(query, answer)
        console.show_reranking(reranked=reranked)


@app.command()
@_reporting
def agent(
    question: str,
    *,
    pattern: Annotated[Pattern, typer.Option("--pattern", help="How it works.")] = "react",
    tools: Annotated[
        str,
        typer.Option(
            "--tools",
            help="Of search_documents, calculator, python, sql=FILE, http_get=HOST+HOST.",
        ),
    ] = "search_documents,calculator",
    llm: Annotated[
        str | None,
        typer.Option("--llm", help="vllm:URL, vllm:URL#MODEL or local:FOLDER.", metavar="LLM"),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Limits: steps=8,tokens=20000,seconds=60,cost=1.")
    ] = "",
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have an agent work on a question with tools; shows each step as it happens."""
    from ragkit.agent import run_agent  # imports langgraph: seconds that no other command waits

    settings = _settings(config, index, tenant)
    if llm is not None:
        chosen = settings.llm.model_copy(update={"model": llm})
        settings = settings.model_copy(update={"llm": chosen})
    events = run_agent(settings, question, pattern=pattern, tools=tools, budget=budget)
    result = asyncio.run(console.follow(events, quiet=as_json))
    if as_json:
        console.print_json({"question": question, "pattern": pattern, **result})


@app.command("eval")
@_reporting
def evaluate(
    dataset_dir: Annotated[Path, typer.Argument(help="Folder in the layout of BEIR.")],
    *,
    stages: Annotated[
        str | None, typer.Option("--stages", help="Of bm25,dense,hybrid,rerank.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="First N queries.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Measure retrieval on judged data: nDCG@10, recall@100, MRR@10 and latency of each stage."""
    settings = Settings.load(config)
    chosen = _stages(stages) if stages else default_stages(settings)
    dataset = load_beir(dataset_dir).limited(limit)
    with console.progress(quiet=as_json) as on_progress:
        job = evaluate_dataset(settings, dataset, chosen, on_progress=on_progress)
        evaluation = asyncio.run(job)
    if as_json:
        console.print_json(console.evaluation_json(evaluation))
        return
    console.show_evaluation(evaluation)
    console.show_reranking(reranked="rerank" in chosen)


def _stages(names: str) -> tuple[Stage, ...]:
    known: tuple[Stage, ...] = get_args(Stage)
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"Unknown stage {unknown[0]!r}; there are {', '.join(known)}.")
    return tuple(stage for stage in known if stage in wanted)


@app.command()
@_reporting
def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is found.")] = False,
    index: Index = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Compare the manifest with the chunks that are there."""
    with RAG(_settings(config, index, DEFAULT_TENANT)) as rag:
        faults = rag.repair() if repair else rag.verify()
    if as_json:
        console.print_json({"faults": faults, "repaired": repair})
    else:
        for fault in faults:
            console.out.print(str(fault), markup=False)
        console.out.print(f"{len(faults)} faults{' mended' if repair and faults else ''}")
    return FAULTS_FOUND if faults and not repair else 0


@app.command()
@_reporting
def doctor(*, index: Index = None, config: Config = None, as_json: Json = False) -> int:
    """Show what is installed, reachable and missing, each with the command that mends it."""
    checks = asyncio.run(examine(_settings(config, index, DEFAULT_TENANT)))
    if as_json:
        console.print_json({"checks": checks})
    else:
        console.show_checks(checks)
    return 1 if any(check.status == "failed" for check in checks) else 0


if __name__ == "__main__":
    main()
