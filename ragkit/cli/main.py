"""The command line: `ragkit ingest | search | ask | agent | eval | verify | doctor`.

Exit status: 0 when all went well, 1 for an error or a value under `--fail-under`, 2 for a wrong
call, 3 when an ingestion finished but some documents failed, 4 when `verify` found faults.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli import console, evaluate, train
from ragkit.cli.doctor import examine
from ragkit.cli.options import (
    Config,
    Index,
    Json,
    Limits,
    LLMName,
    PatternName,
    Tenant,
    Tools,
    chosen_settings,
    reporting,
)
from ragkit.core.types import DEFAULT_TENANT, DEFAULT_TOOLS, TransformName
from ragkit.sdk import RAG, AsyncRAG

FAILED_DOCUMENTS, FAULTS_FOUND = 3, 4

app = typer.Typer(
    name="ragkit",
    help="Retrieval-augmented generation and agents on models that you host yourself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

K = Annotated[int | None, typer.Option("--k", min=1, help="How many hits.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help='Filter, such as: year >= 2020 and lang in ["en", "de"]'),
]
Transform = Annotated[
    TransformName | None,
    typer.Option("--transform", help="What is made of the query before it is searched for."),
]


app.add_typer(evaluate.app, name="eval")
app.add_typer(train.app, name="train")


def main() -> None:
    """Run the command line."""
    app()


@app.command()
@reporting
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
    settings = chosen_settings(config, index, tenant)
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
@reporting
def search(
    query: str,
    *,
    k: K = None,
    where: Where = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every stage.")] = False,
    transform: Transform = None,
    llm: LLMName = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Find the passages that fit a query best."""
    with RAG(chosen_settings(config, index, tenant, transform=transform, llm=llm)) as rag:
        hits = rag.search(query, k=k, where=where, explain=explain)
        reranked = rag.asynchronous.reranker is not None
    if as_json:
        console.print_json(console.search_json(query, hits))
    else:
        console.show_hits(hits)
        console.show_reranking(reranked=reranked)


@app.command()
@reporting
def ask(
    query: str,
    *,
    k: K = None,
    where: Where = None,
    transform: Transform = None,
    llm: LLMName = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Answer a question with verbatim quotes, or say that the documents don't.

    With --llm, the language model writes the answer from quotes of its own choice.
    """
    settings = chosen_settings(config, index, tenant, transform=transform, llm=llm)
    if llm is not None:
        by_model = settings.answer.model_copy(update={"mode": "generative"})
        settings = settings.model_copy(update={"answer": by_model})
    asyncio.run(_ask(AsyncRAG(settings), query, k=k, where=where, as_json=as_json))


async def _ask(
    rag: AsyncRAG, query: str, *, k: int | None, where: str | None, as_json: bool
) -> None:
    async with rag:
        if as_json:
            answer = await rag.ask(query, k=k, where=where)
            console.print_json(console.answer_json(query, answer))
        else:
            await console.follow_answer(query, rag.ask_stream(query, k=k, where=where))
            console.show_reranking(reranked=rag.reranker is not None)


@app.command()
@reporting
def agent(
    question: str,
    *,
    pattern: PatternName = "react",
    tools: Tools = DEFAULT_TOOLS,
    llm: LLMName = None,
    budget: Limits = "",
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have an agent work on a question with tools; shows each step as it happens."""
    from ragkit.cli.agent import run_agent  # imports langgraph: seconds that no other command waits

    settings = chosen_settings(config, index, tenant, llm=llm)
    events = run_agent(settings, question, pattern=pattern, tools=tools, budget=budget)
    result = asyncio.run(console.follow(events, quiet=as_json))
    if as_json:
        console.print_json({"question": question, "pattern": pattern, **result})


@app.command()
@reporting
def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is found.")] = False,
    index: Index = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Compare the manifest with the chunks that are there."""
    with RAG(chosen_settings(config, index, DEFAULT_TENANT)) as rag:
        faults = rag.repair() if repair else rag.verify()
    if as_json:
        console.print_json({"faults": faults, "repaired": repair})
    else:
        for fault in faults:
            console.out.print(str(fault), markup=False)
        console.out.print(f"{len(faults)} faults{' mended' if repair and faults else ''}")
    return FAULTS_FOUND if faults and not repair else 0


@app.command()
@reporting
def doctor(*, index: Index = None, config: Config = None, as_json: Json = False) -> int:
    """Show what is installed, reachable and missing, each with the command that mends it."""
    checks = asyncio.run(examine(chosen_settings(config, index, DEFAULT_TENANT)))
    if as_json:
        console.print_json({"checks": checks})
    else:
        console.show_checks(checks)
    return 1 if any(check.status == "failed" for check in checks) else 0


if __name__ == "__main__":
    main()
