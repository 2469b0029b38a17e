"""Results in a terminal, and as JSON."""

import json
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from ragkit.cli.doctor import Check
from ragkit.core.progress import OnProgress, pace_text
from ragkit.core.progress import Progress as Step
from ragkit.core.types import Answer, AnswerDelta, Hit
from ragkit.ingest.report import IngestReport
from ragkit.retrieval.results import Explanation, Hits

if TYPE_CHECKING:
    from ragkit.agents.events import Event
    from ragkit.ingest.rebuild import ReindexReport

NO_RERANKER = "rerank: off, no reranker is set (RAGKIT_RERANKER__MODEL=packaged:minilm-reader)"
_SHOWN = 200
_NAMED = 10
_STATUS_STYLES = {"ok": "green", "off": "dim", "missing": "yellow", "failed": "red"}

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Print one JSON document; dataclasses become objects."""
    text = json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=2)
    out.print(text, markup=False, soft_wrap=True)


def hit_json(hit: Hit) -> dict[str, object]:
    """Return a hit: its chunk's fields, its score, and `trace` with rank and score by stage."""
    chunk: dict[str, object] = to_jsonable_python(hit.chunk)
    trace = {stage: {"rank": rank, "score": score} for stage, (rank, score) in hit.trace.items()}
    duplicates = [asdict(one) for one in hit.duplicates]
    return {**chunk, "score": hit.score, "trace": trace, "duplicates": duplicates}


def search_json(query: str, hits: Hits) -> dict[str, object]:
    """Return the result of a search; `explanation` is null unless it was asked for."""
    return {
        "query": query,
        "hits": [hit_json(hit) for hit in hits],
        "explanation": hits.explanation,
    }


def answer_json(question: str, answer: Answer) -> dict[str, object]:
    """Return the fields of an `Answer` with the question; `answer` and `text` are its text."""
    hits = {hit.chunk.id: hit_json(hit) for hit in answer.hits}
    citations = [
        {**asdict(citation), "trace": hits[citation.chunk_id]["trace"]}
        for citation in answer.citations
    ]
    return {
        "question": question,
        "answer": answer.text,
        "text": answer.text,
        "span": answer.span,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "citations": citations,
        "hits": list(hits.values()),
        "left_out": answer.left_out,
        "usage": answer.usage,
        "timings": answer.timings,
    }


@contextmanager
def progress(*, quiet: bool) -> Generator[OnProgress | None]:
    """Show progress on standard error: bars in a terminal, else lines; nothing if quiet."""
    if quiet:
        yield None
    elif err.is_terminal:
        yield from _bars()
    else:
        yield _lines()


def _lines() -> OnProgress:
    """Print a line at every tenth of a phase."""
    shown: dict[str, int] = {}

    def show(step: Step) -> None:
        tenth = 10 * step.done // max(1, step.total)
        if tenth != shown.get(step.phase, 0):
            shown[step.phase] = tenth
            pace = pace_text(step)
            err.print(f"{step.phase} {step.done}/{step.total}{pace and f', {pace}'}", markup=False)

    return show


def _bars() -> Generator[OnProgress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("[dim]{task.fields[item]}"),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = bar.add_task(step.phase, item="", pace="")
            item = escape(Path(step.item).name[:40])
            bar.update(
                tasks[step.phase],
                completed=step.done,
                total=step.total,
                item=item,
                pace=pace_text(step),
            )

        yield show


def show_report(report: IngestReport) -> None:
    """Show the report of an ingestion."""
    out.print(f"[bold]{report}")
    if report.stopped:
        out.print(f"[red]stopped early[/] {escape(report.stopped)}")
    if report.skipped:
        out.print(
            f"[yellow]skipped[/] {len(report.skipped)} files of other formats: "
            f"{escape(_some(report.skipped))}",
            soft_wrap=True,
        )
    if report.lines:
        usage = report.usage
        out.print(
            f"{report.lines} context lines by the model: {usage.prompt} tokens read "
            f"({usage.cached} of them cached), {usage.completion} written"
        )
    for uri in report.truncated:
        _show_truncated(uri)
    for uri, pages in report.unread_pages.items():
        out.print(
            f"[yellow]no text[/] {escape(uri)}: on {pages} pages, most likely scans. Fix: "
            "RAGKIT_INGEST__OCR=eng (apt-get install tesseract-ocr)",
            soft_wrap=True,
        )
    for failure in report.failed:
        out.print(f"[red]failed[/] {escape(failure.uri)}: {escape(failure.reason)}")


def show_reindex(report: "ReindexReport") -> None:
    """Show the report of an index that was built again."""
    size = f"{report.documents} documents with {report.chunks} chunks"
    if report.changed:
        out.print(
            f"[bold]{size} are in the new index[/] ({report.written} chunks written, "
            f"{report.kept} of them with the vectors that they had, in {report.seconds:.1f} s)"
        )
    else:
        out.print(f"Nothing has changed: the index ({size}) is as these settings build it.")
    for uri in report.truncated:
        _show_truncated(uri)
    if report.undivided:
        out.print(
            f"[yellow]divided as before[/] {len(report.undivided)} documents, whose structure is "
            f"not stored: {escape(_some(report.undivided))}. Fix: ragkit ingest their sources",
            soft_wrap=True,
        )


def _show_truncated(uri: str) -> None:
    out.print(f"[yellow]cut[/] {escape(uri)}: a passage is longer than the model reads")


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and the number of the others."""
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def show_answer(question: str, answer: Answer) -> None:
    """Show an answer, then each quote with its source and the ranks of its passage."""
    out.print(f"[bold cyan]{escape(question)}")
    out.print(_answer_text(answer))
    _show_evidence(answer)


async def follow_answer(question: str, deltas: AsyncGenerator[AnswerDelta]) -> None:
    """Show an answer while it is written, then its quotes."""
    streamed = False
    out.print(f"[bold cyan]{escape(question)}")
    async with aclosing(deltas):
        async for delta in deltas:
            if delta.text:
                out.print(delta.text, end="", markup=False, style="bold", soft_wrap=True)
                streamed = True
            if delta.answer is not None:
                out.print("" if streamed else _answer_text(delta.answer))
                _show_evidence(delta.answer)


def _answer_text(answer: Answer) -> str:
    style = "yellow" if answer.abstained else "bold"
    text = escape(answer.text)
    if answer.span is not None:
        before, after = answer.text[: answer.span.start], answer.text[answer.span.end :]
        text = f"{escape(before)}[underline]{escape(answer.span.text)}[/]{escape(after)}"
    return f"[{style}]{text}[/] [dim](confidence {answer.confidence:.2f})"


def _show_evidence(answer: Answer) -> None:
    """Show each quote with its source and the ranks of its passage."""
    hits = {hit.chunk.id: hit for hit in answer.hits}
    for number, citation in enumerate(answer.citations, start=1):
        hit = hits[citation.chunk_id]
        page = f", page {hit.chunk.page}" if hit.chunk.page else ""
        where = f"{citation.uri}{page}, characters {citation.start}-{citation.end}"
        out.print(f'  [green]\\[{number}] "{escape(citation.quote)}"')
        out.print(f"      [dim]{escape(hit.chunk.header)}: {escape(where)}")
        out.print(f"      [dim]{_ranks(hit)}")
    if answer.left_out:
        count = f"{len(answer.left_out)} of {len(answer.hits)} passages"
        out.print(f"[yellow]{count} were left out: they did not fit the model's context")


def _ranks(hit: Hit) -> str:
    stages = (f"{stage} #{rank} ({score:.4g})" for stage, (rank, score) in hit.trace.items())
    return " · ".join(stages)


def show_reranking(*, reranked: bool) -> None:
    """Show a note if hits are not reranked."""
    if not reranked:
        out.print(f"[dim]{NO_RERANKER}")


def show_hits(hits: Hits) -> None:
    """Show hits in order, each with its ranks."""
    if not hits:
        out.print("[yellow]Nothing was found.")
    for number, hit in enumerate(hits, start=1):
        chunk = hit.chunk
        out.print(f"[bold]{number}. {escape(chunk.header or chunk.uri)}[/]  [dim]{_ranks(hit)}")
        out.print(f"   [dim]{escape(chunk.uri)}, characters {chunk.start}-{chunk.end}")
        text = " ".join(chunk.text.split())
        out.print(f"   {escape(text[:300])}{' …' if len(text) > 300 else ''}")
        if others := dict.fromkeys(one.uri for one in hit.duplicates):
            out.print(f"   [dim]also in {escape(', '.join(others))}", soft_wrap=True)
    if hits.explanation is not None:
        show_explanation(hits.explanation)


def show_explanation(explanation: Explanation) -> None:
    """Show the best candidates of every stage, side by side."""
    table = Table(title="Every stage (first ten)", title_justify="left")
    table.add_column("#", justify="right")
    for stage in explanation.stages:
        table.add_column(stage)
    for row in range(min(10, max(map(len, explanation.stages.values()), default=0))):
        cells = [
            f"{ranked[row][0][:8]} {ranked[row][2]:.4g}" if row < len(ranked) else ""
            for ranked in explanation.stages.values()
        ]
        table.add_row(str(row + 1), *cells)
    out.print(table)
    sizes = ", ".join(f"{stage} {len(ranked)}" for stage, ranked in explanation.stages.items())
    times = ", ".join(
        f"{name} {value * 1000:.1f} ms" for name, value in explanation.seconds.items()
    )
    out.print(f"candidates: {sizes}; duplicates dropped: {len(explanation.duplicates)}")
    out.print(f"text embedded: {escape(repr(explanation.embedded))}")
    out.print(f"filter: {escape(str(explanation.where))}; tenant: {escape(explanation.tenant)}")
    out.print(f"time: {times}")
    for part in explanation.transformations:
        tokens = part.usage.prompt + part.usage.completion
        cost = f"{part.calls} calls, {tokens} tokens, {part.seconds * 1000:.1f} ms"
        out.print(f"{part.name}: {cost} {escape(part.note)}")
        for text in part.written:
            out.print(f"  {escape(repr(text))}")


async def follow(events: "AsyncGenerator[Event]", *, quiet: bool) -> dict[str, object]:
    """Show an agent's events as they come; return the fields of its result."""
    from ragkit.agents.events import Finished

    result: dict[str, object] = {}
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                result = asdict(event.result)
            if not quiet:
                show_event(event)
    return result


def show_event(event: "Event") -> None:
    """Show one event of an agent: thoughts and the answer as text, the others on a line each."""
    from ragkit.agents import events as kinds

    match event:
        case kinds.Thought(text=text) | kinds.AnswerText(text=text):
            out.print(text, end="", markup=False, style="dim", soft_wrap=True)
        case kinds.Planned(steps=steps):
            lines = (f"\n  {label}: {what}" for label, what in steps)
            out.print("plan" + "".join(lines), markup=False)
        case kinds.Called(step=step, tool=tool, arguments=arguments):
            given = json.dumps(to_jsonable_python(arguments), ensure_ascii=False)
            out.print(f"\n{step} {tool} {given}", markup=False, style="cyan", soft_wrap=True)
        case kinds.Observed(step=step, tool=tool, text=text, failed=failed):
            shown = " ".join(text.split())[:_SHOWN]
            style = "red" if failed else "green"
            out.print(f"{step} {tool} -> {shown}", markup=False, style=style, soft_wrap=True)
        case kinds.Asked(step=step, tool=tool, reason=reason):
            out.print(f"{step} {tool} waits for approval: {reason}", markup=False, style="yellow")
        case kinds.Noticed(step=step, text=text):
            out.print(f"{step} {text}", markup=False, style="yellow", soft_wrap=True)
        case kinds.Finished(result=result):
            out.print(f"\n{result.answer}", markup=False, soft_wrap=True)
            for number, citation in enumerate(result.citations, 1):
                out.print(f"[{number}] {citation.uri}", markup=False, style="dim")
            used = result.usage.prompt + result.usage.completion
            out.print(f"{result.stopped_by}, {len(result.steps)} steps, {used} tokens", style="dim")
        case kinds.Used():
            pass


def show_checks(checks: Sequence[Check]) -> None:
    """Show the doctor's checks."""
    for check in checks:
        style = _STATUS_STYLES[check.status]
        out.print(f"[{style}]{check.status:>8}[/] {check.name:<22} {escape(check.detail)}")
        if check.fix:
            out.print(f"{'':>8} [dim]Fix:[/] {escape(check.fix)}")
