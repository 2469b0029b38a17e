"""`ragkit eval`: measure retrieval, answers and agents, compare runs, make a test set."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperGroup

from ragkit.cli import console
from ragkit.cli.evaluation_console import (
    generated_json,
    show_comparison,
    show_evaluation,
    show_generated,
    show_tuning,
    tuning_json,
)
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
from ragkit.core.errors import ConfigError
from ragkit.core.settings import Settings
from ragkit.core.types import DEFAULT_TOOLS
from ragkit.evaluation.agents import load_tasks
from ragkit.evaluation.datasets import check_new, load_beir, sampled, write_beir
from ragkit.evaluation.gate import Threshold, check_thresholds, parse_threshold, shortfall
from ragkit.evaluation.metrics import MEASURES
from ragkit.evaluation.questions import Given, load_squad
from ragkit.evaluation.retrieval import Stage, default_stages, measure_retrieval
from ragkit.evaluation.run_comparison import compare_runs, parse_pairs
from ragkit.evaluation.runs import (
    Evaluation,
    evaluation_json,
    load_run,
    save_run,
    write_text,
)

BELOW_THRESHOLD = 1
_DEFAULT = "retrieval"


class _RetrievalByDefault(TyperGroup):
    """A group whose first argument may also be an argument of its default command."""

    # `Any`: the class of contexts is click's or typer's copy of it, depending on the release.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command's name if the first argument is not a command."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RetrievalByDefault,
    no_args_is_help=True,
    help="Measure retrieval on a data set (`ragkit eval FOLDER`, the same as `ragkit eval "
    "retrieval FOLDER`), answers or agents, compare runs, make a test set.",
)

Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Take a random sample of N queries.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the sample and the intervals.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Save the run, to compare it later.", metavar="FILE")
]
Html = Annotated[Path | None, typer.Option("--html", help="Write a report.", metavar="FILE")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run finished queries again.")]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        help="Exit with 1 below this value, such as ndcg@10=0.45 (of the last stage) or "
        "bm25:ndcg@10=0.4; may be repeated.",
        metavar="[STAGE:]MEASURE=VALUE",
    ),
]


@app.command(_DEFAULT)
@reporting
def retrieval(
    dataset_dir: Annotated[Path, typer.Argument(help="Folder in the layout of BEIR.")],
    *,
    stages: Annotated[
        str | None, typer.Option("--stages", help="Of bm25,dense,hybrid,rerank.")
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    html: Html = None,
    fail_under: FailUnder = None,
    fresh: Fresh = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Measure retrieval on judged data: nDCG@10, recall@100, MRR@10 and latency of each stage."""
    thresholds = [parse_threshold(text) for text in fail_under or ()]
    settings = Settings.load(config)
    chosen = _stages(stages) if stages else default_stages(settings)
    check_thresholds(thresholds, chosen, tuple(MEASURES))
    dataset = load_beir(dataset_dir).limited(limit, seed=seed)
    with console.progress(quiet=as_json) as on_progress:
        job = measure_retrieval(
            settings, dataset, chosen, seed=seed, fresh=fresh, on_progress=on_progress
        )
        evaluation = asyncio.run(job)
    missed = _reported(evaluation, thresholds, out=out, html=html, as_json=as_json)
    if not as_json:
        console.show_reranking(reranked="rerank" in chosen)
    return _gate(missed)


@app.command()
@reporting
def qa(
    file: Annotated[Path, typer.Argument(help="Questions in the layout of SQuAD 1.1 or 2.0.")],
    *,
    given: Annotated[
        Given,
        typer.Option("--given", help="Answer from a search over all paragraphs, or the right one."),
    ] = "search",
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    html: Html = None,
    fail_under: FailUnder = None,
    fresh: Fresh = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Questions in flight, for an LLM's server.")
    ] = 1,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="Model that judges faithfulness and citations: vllm:URL, vllm:URL#MODEL or "
            "local:FOLDER.",
            metavar="LLM",
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Measure answers: exact match and F1 as SQuAD defines them, abstention, verbatim quotes."""
    # Imports the grammars, which few commands need.
    from ragkit.evaluation.answers import AnswerOptions, measure_answers

    thresholds = [parse_threshold(text) for text in fail_under or ()]
    settings = Settings.load(config)
    dataset = load_squad(file).limited(limit, seed=seed)
    with console.progress(quiet=as_json) as on_progress:
        options = AnswerOptions(given=given, judge=judge, concurrency=concurrency)
        job = measure_answers(
            settings, dataset, options, seed=seed, fresh=fresh, on_progress=on_progress
        )
        evaluation = asyncio.run(job)
    return _gate(_reported(evaluation, thresholds, out=out, html=html, as_json=as_json))


@app.command()
@reporting
def agent(
    file: Annotated[
        Path, typer.Argument(help='JSON Lines: {"question": "...", "answers": ["..."]}.')
    ],
    *,
    pattern: PatternName = "react",
    tools: Tools = DEFAULT_TOOLS,
    llm: LLMName = None,
    budget: Limits = "",
    index: Index = None,
    tenant: Tenant = None,
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    html: Html = None,
    fail_under: FailUnder = None,
    fresh: Fresh = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Measure an agent on tasks: success, tokens, steps, seconds."""
    from ragkit.cli.agent import AgentChoice, measure  # imports langgraph

    thresholds = [parse_threshold(text) for text in fail_under or ()]
    settings = chosen_settings(config, index, tenant, llm=llm)
    tasks = sampled(load_tasks(file), limit, seed)
    with console.progress(quiet=as_json) as on_progress:
        job = measure(
            settings,
            AgentChoice(pattern=pattern, tools=tools, budget=budget),
            tasks,
            name=file.name,
            seed=seed,
            fresh=fresh,
            on_progress=on_progress,
        )
        evaluation = asyncio.run(job)
    return _gate(_reported(evaluation, thresholds, out=out, html=html, as_json=as_json))


@app.command()
@reporting
def compare(
    a: Annotated[Path, typer.Argument(help="A run saved with --out.", metavar="A.json")],
    b: Annotated[Path, typer.Argument(help="Another over the same data.", metavar="B.json")],
    *,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            help="Stages to compare, such as hybrid or bm25:hybrid (of A: of B); by default all "
            "that both have.",
        ),
    ] = None,
    seed: Seed = 0,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Compare two runs query by query: difference, interval, randomisation test, verdict."""
    pairs = parse_pairs(stages) if stages else None
    comparison = compare_runs(load_run(a), load_run(b), stages=pairs, seed=seed)
    if html:
        from ragkit.evaluation.report import comparison_html

        write_text(html, comparison_html(comparison, a=str(a), b=str(b)))
    if as_json:
        console.print_json(comparison)
    else:
        show_comparison(comparison)


@app.command()
@reporting
def tune(
    dataset_dir: Annotated[Path, typer.Argument(help="Folder in the layout of BEIR.")],
    *,
    limit: Limit = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the settings to a new file.", metavar="FILE"),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fit fusion, weights, rrf_k and depth to judged queries; check them on the other half."""
    from ragkit.evaluation import tuning as tunings

    if out is not None and out.exists():
        raise ConfigError(f"{str(out)!r} is there already. Fix: name a new file.")
    settings = Settings.load(config)
    dataset = load_beir(dataset_dir).limited(limit, seed=seed)
    with console.progress(quiet=as_json) as on_progress:
        tuning = asyncio.run(tunings.tune(settings, dataset, seed=seed, on_progress=on_progress))
    if out is not None:
        write_text(out, tuning.settings.toml)
    if as_json:
        console.print_json(tuning_json(tuning))
    else:
        show_tuning(tuning)


@app.command()
@reporting
def make(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="New folder of the set.", metavar="DIR")],
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            help="Model that writes questions (vllm:URL, vllm:URL#MODEL or local:FOLDER); "
            "without it headings are taken.",
        ),
    ] = None,
    first: Annotated[
        int,
        typer.Option("--first", min=1, help="Keep a question if its section is in the first N."),
    ] = 10,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of questions.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of sections.")] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a test set of your own documents: questions whose section a search finds again."""
    # Imports the grammars.
    from ragkit.evaluation.test_sets import GenerationOptions, generate_from_files

    check_new(out)
    settings = chosen_settings(config, None, None, llm=llm)
    options = GenerationOptions(first=first, limit=limit, seed=seed, llm=llm is not None)
    with console.progress(quiet=as_json) as on_progress:
        job = generate_from_files(settings, paths, options, on_progress=on_progress)
        made, unread = asyncio.run(job)
    write_beir(made.dataset, out)
    if as_json:
        console.print_json(generated_json(made, out, unread))
    else:
        show_generated(made, out, unread, first=first)


def _reported(
    evaluation: Evaluation,
    thresholds: Sequence[Threshold],
    *,
    out: Path | None,
    html: Path | None,
    as_json: bool,
) -> list[str]:
    """Save and show a run; return a message for each missed threshold.

    A run is saved before a threshold without a measure raises.
    """
    if out:
        save_run(evaluation, out)
    if html:
        from ragkit.evaluation.report import evaluation_html

        write_text(html, evaluation_html(evaluation))
    found = (shortfall(item, evaluation.stages) for item in thresholds)
    missed = [text for text in found if text is not None]
    if as_json:
        console.print_json(evaluation_json(evaluation))
    else:
        show_evaluation(evaluation)
    return missed


def _gate(missed: Sequence[str]) -> int:
    for text in missed:
        console.err.print(f"below threshold: {text}", style="red", markup=False, soft_wrap=True)
    return BELOW_THRESHOLD if missed else 0


def _stages(names: str) -> tuple[Stage, ...]:
    known: tuple[Stage, ...] = get_args(Stage)
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"Unknown stage {unknown[0]!r}. Fix: use one of {', '.join(known)}.")
    return tuple(stage for stage in known if stage in wanted)
