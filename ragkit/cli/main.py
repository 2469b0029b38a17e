"""The command line, `ragkit COMMAND`.

Exit status: 0 for success, 1 for an error or a value below `--fail-under`, 2 for a wrong call, 3
if documents of an ingestion failed or none was readable, 4 if `verify` found faults.
"""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from ragkit import __version__
from ragkit.cli import console, documents, evaluation, training
from ragkit.cli.backup import backup, restore
from ragkit.cli.chat import chat
from ragkit.cli.costs import costs
from ragkit.cli.doctor import examine
from ragkit.cli.mcp import mcp
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
from ragkit.cli.plan import plan
from ragkit.cli.reindex import reindex
from ragkit.cli.serve import keys_app, serve
from ragkit.cli.ui import ui
from ragkit.core.types import DEFAULT_TENANT, DEFAULT_TOOLS, TransformName
from ragkit.sdk import RAG, AsyncRAG

FAULTS_FOUND = 4

app = typer.Typer(
    name="ragkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

K = Annotated[int | None, typer.Option("--k", min=1, help="Number of hits.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help='Filter, such as: year >= 2020 and lang in ["en", "de"]'),
]
Transform = Annotated[
    TransformName | None,
    typer.Option("--transform", help="Transformation of the query before the search."),
]


app.add_typer(evaluation.app, name="eval")
app.add_typer(training.app, name="train")
app.add_typer(keys_app, name="keys")
app.command()(chat)
app.command()(documents.ingest)
app.command("list")(documents.list_documents)
app.command()(documents.chunks)
app.command()(documents.stats)
app.command()(documents.delete)
app.command()(backup)
app.command()(restore)
app.command()(reindex)
app.command()(serve)
app.command()(costs)
app.command()(mcp)
app.command()(plan)
app.command()(ui)


def main() -> None:
    """Run the command line."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"ragkit {__version__}")
        raise typer.Exit


@app.callback()
def ragkit(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Retrieval-augmented generation and agents on models that you host yourself."""


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
    """Answer a question with verbatim quotes, or abstain if the documents have no answer.

    With --llm, the language model writes the answer from quotes that it chooses.
    """
    settings = chosen_settings(config, index, tenant, transform=transform, llm=llm, writes=True)
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
    """Run an agent with tools on a question, and show each step as it happens."""
    from ragkit.cli.agent import AgentChoice, stream_agent  # imports langgraph, which takes seconds

    settings = chosen_settings(config, index, tenant, llm=llm)
    choice = AgentChoice(pattern=pattern, tools=tools, budget=budget)
    events = stream_agent(settings, question, choice)
    result = asyncio.run(console.follow(events, quiet=as_json))
    if as_json:
        console.print_json({"question": question, "pattern": pattern, **result})


@app.command()
@reporting
def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Repair the faults.")] = False,
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
        console.out.print(f"{len(faults)} faults{' repaired' if repair and faults else ''}")
        if faults and not repair:
            console.out.print(f"[dim]Fix:[/] {_repair_command(index)}", highlight=False)
    return FAULTS_FOUND if faults and not repair else 0


def _repair_command(index: str | None) -> str:
    return "ragkit verify --repair" + (f" --index {escape(index)}" if index else "")


@app.command()
@reporting
def doctor(*, index: Index = None, config: Config = None, as_json: Json = False) -> int:
    """Check packages, models, index and servers, and show a fix for each problem."""
    checks = asyncio.run(examine(chosen_settings(config, index, DEFAULT_TENANT)))
    if as_json:
        console.print_json({"checks": checks})
    else:
        console.show_checks(checks)
    return 1 if any(check.status == "failed" for check in checks) else 0


if __name__ == "__main__":
    main()
