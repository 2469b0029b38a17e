"""`ragkit train`: fit the embedder to a user's own texts."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ragkit.cli import console
from ragkit.cli.options import Config, Json, reporting
from ragkit.core.settings import Settings
from ragkit.training.fine_tuning import FineTuning, train_embedder
from ragkit.training.matryoshka import Examples, RotationReport, train_rotation

app = typer.Typer(no_args_is_help=True, help="Fit the embedder to your own texts.")

Seed = Annotated[int, typer.Option("--seed", help="Of all random choices.")]
Pairs = Annotated[
    Path, typer.Option("--pairs", help='JSON lines of {"query": ..., "positive": ...}.')
]


@app.command("matryoshka")
@reporting
def matryoshka(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.")] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="A .npy file.")] = Path("rotation.npy"),
    pairs: Pairs | None = None,
    steps: Annotated[int, typer.Option("--steps", min=0, help="0: principal components.")] = 1500,
    seed: Seed = 0,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Learn a rotation that makes the first dimensions of vectors as telling as possible.

    Whole vectors keep their similarities exactly. Use it with `embedder.rotation`.
    """
    settings = Settings.load(config)
    with console.progress(quiet=as_json) as on_progress:
        examples = Examples(paths=paths or (), pairs=pairs)
        job = train_rotation(
            settings, examples, out, steps=steps, seed=seed, on_progress=on_progress
        )
        report = asyncio.run(job)
    if as_json:
        console.print_json(report_json(report))
    else:
        _show(report)
    return 3 if report.failed else 0


def report_json(report: RotationReport) -> dict[str, object]:
    """Return the report as JSON."""
    return {
        "file": str(report.file),
        "queries": report.queries,
        "passages": report.passages,
        "failed": [{"uri": item.uri, "reason": item.reason} for item in report.failed],
        "neighbours_kept": {
            str(item.dimensions): {"plain": item.plain, "rotated": item.rotated}
            for item in report.kept
        },
    }


def _show(report: RotationReport) -> None:
    table = Table(title="of the 10 nearest passages, found by the prefix", title_justify="left")
    for column in ("dimensions", "plain", "rotated"):
        table.add_column(column, justify="right")
    for item in report.kept:
        table.add_row(str(item.dimensions), f"{item.plain:.3f}", f"{item.rotated:.3f}")
    console.out.print(table)
    for failure in report.failed:
        console.err.print(f"{failure.uri}: {failure.reason}", style="red", markup=False)
    console.out.print(
        f"{report.file} from {report.queries} queries and {report.passages} passages. Use it with "
        f"embedder.rotation = {str(report.file)!r} (RAGKIT_EMBEDDER__ROTATION) in a new index.",
        markup=False,
        soft_wrap=True,
    )


@app.command("embedder")
@reporting
def embedder(
    *,
    pairs: Pairs,
    out: Annotated[Path, typer.Option("--out", help="A folder for the model.")] = Path("embedder"),
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 1,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2)] = 32,
    rate: Annotated[float, typer.Option("--rate", help="Learning rate.")] = 2e-5,
    seed: Seed = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the embedder on queries and passages that answer them, with MatryoshkaLoss."""
    settings = Settings.load(config)
    options = FineTuning(epochs=epochs, batch_size=batch_size, rate=rate, seed=seed)
    count = train_embedder(settings, pairs, out, options)
    if as_json:
        console.print_json({"folder": str(out), "pairs": count})
        return
    console.out.print(
        f"{out} from {count} pairs. Use it with embedder.model = "
        f"'sentence-transformers:{out}' (RAGKIT_EMBEDDER__MODEL) in a new index.",
        markup=False,
        soft_wrap=True,
    )
