"""Options that several commands share, the settings that they choose, and exit statuses."""

import functools
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn, ParamSpec

import typer

from ragkit.cli import console
from ragkit.core.errors import InputError, RagkitError
from ragkit.core.settings import Settings
from ragkit.core.tenant import check_tenant
from ragkit.core.types import Pattern, TransformName

P = ParamSpec("P")

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file instead of ./ragkit.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Index = Annotated[
    str | None,
    typer.Option("--index", help="Folder or Qdrant URL of the index.", metavar="DIR|URL"),
]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant whose documents are used.")]
LLMName = Annotated[
    str | None,
    typer.Option(
        "--llm",
        help="vllm:URL[#MODEL], sglang:URL, llamacpp:URL, ollama:MODEL, openai:MODEL or "
        "local:FOLDER.",
        metavar="LLM",
    ),
]
PatternName = Annotated[Pattern, typer.Option("--pattern", help="Pattern of the agent.")]
Tools = Annotated[
    str,
    typer.Option(
        "--tools",
        help="Names with commas between them: search_documents, calculator, python, sql=FILE, "
        "http_get=HOST+HOST.",
    ),
]
Limits = Annotated[
    str, typer.Option("--budget", help="Limits: steps=8,tokens=20000,seconds=60,cost=1.")
]


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a command that has something to finish receives it."""


@contextmanager
def terminable() -> Generator[None]:
    """Let SIGTERM stop a command as Ctrl-C does, so that it releases what it holds."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def reporting(command: Callable[P, int | None]) -> Callable[P, None]:
    """Show ragkit's errors as one line (or JSON), and turn results into exit statuses."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = command(*args, **kwargs)
        except RagkitError as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))
        except Terminated:
            sys.exit(143)
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


def chosen_settings(
    config: Path | None,
    index: str | None,
    tenant: str | None,
    *,
    transform: TransformName | None = None,
    llm: str | None = None,
    writes: bool = False,
    engine: Literal["local", "ray"] | None = None,
) -> Settings:
    """Load the settings and apply the command's options; with `writes`, `llm` writes the answers.

    Raises:
        InputError: The index or the tenant is an empty name.
    """
    settings = Settings.load(config)
    if index == "":
        raise InputError("--index is ''. Fix: name a folder or a URL, or leave the option out.")
    location = settings.index.location if index is None else index
    chosen = transform or settings.retrieval.transform
    model = llm or settings.llm.model
    answer = settings.answer
    if writes and llm is not None:
        answer = answer.model_copy(update={"mode": "generative"})
    return settings.model_copy(
        update={
            "index": settings.index.model_copy(update={"location": location}),
            "retrieval": settings.retrieval.model_copy(update={"transform": chosen}),
            "answer": answer,
            "ingest": settings.ingest.model_copy(
                update={"engine": engine or settings.ingest.engine}
            ),
            "llm": settings.llm.model_copy(update={"model": model}),
            "tenant": settings.tenant if tenant is None else check_tenant(tenant),
        }
    )
