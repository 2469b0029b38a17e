import json
from dataclasses import fields, replace

import pytest

from ragkit.cli import console
from ragkit.cli.doctor import Check
from ragkit.core.types import (
    Answer,
    Chunk,
    Citation,
    DuplicatePassage,
    Hit,
    StageRank,
    Timings,
    Usage,
)
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.retrieval.results import Hits

CHUNK = Chunk(
    id="c",
    uri="a.md",
    title="Rivers",
    text="The [bold]Volga[/bold] is long.",
    start=10,
    end=41,
    page=3,
    metadata={"year": 2020},
)
HIT = Hit(chunk=CHUNK, score=0.5, trace={"bm25": StageRank(1, 2.0)})
ANSWER = Answer(
    text="The Volga.",
    citations=(Citation.of(CHUNK, 4, 9),),
    abstained=False,
    confidence=0.75,
    hits=(HIT,),
    usage=Usage(),
    timings=Timings(total_s=0.1),
)


def test_json_has_the_names_of_the_sdk(capsys: pytest.CaptureFixture[str]) -> None:
    answer = console.answer_json("Which river?", ANSWER)
    console.print_json(answer)
    printed = json.loads(capsys.readouterr().out)
    assert {field.name for field in fields(Answer)} <= printed.keys()
    assert printed["answer"] == printed["text"] == ANSWER.text
    assert {field.name for field in fields(Citation)} <= printed["citations"][0].keys()
    of_hit = {"score", "trace", "duplicates"}
    assert {field.name for field in fields(Chunk)} | of_hit == printed["hits"][0].keys()
    console.print_json(IngestReport(added=["a"]))
    report = json.loads(capsys.readouterr().out)
    assert {field.name for field in fields(IngestReport)} <= report.keys()


def test_a_check_is_shown_with_its_fix(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_checks([Check(name="index", status="missing", detail="none", fix="ragkit ingest")])
    shown = capsys.readouterr().out
    assert "missing index" in shown
    assert "Fix: ragkit ingest" in shown


def test_the_report_names_failed_skipped_and_cut_documents(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = IngestReport(
        added=["a"],
        skipped=["b.xyz"],
        truncated=["c"],
        unread_pages={"e": 3},
        failed=[FailedDocument(uri="d", reason="[damaged]")],
    )
    console.show_report(report)
    shown = " ".join(capsys.readouterr().out.split())
    assert "skipped 1 files of other formats: b.xyz" in shown
    assert "cut c" in shown
    assert "no text e: on 3 pages, most likely scans. Fix: RAGKIT_INGEST__OCR=eng" in shown
    assert "failed d: [damaged]" in shown


def test_text_of_documents_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_answer("[red]Which?", ANSWER)
    shown = capsys.readouterr().out
    assert "[red]Which?" in shown
    assert '[1] "[bold' in shown
    assert "a.md, page 3, characters 14-19" in shown


def test_the_json_of_an_answer_has_the_names_of_its_fields() -> None:
    found = console.answer_json("Which?", ANSWER)
    assert set(Answer.__dataclass_fields__) <= found.keys()
    assert found["text"] == "The Volga."
    citations = found["citations"]
    assert isinstance(citations, list)
    assert citations[0] == {
        "chunk_id": "c",
        "uri": "a.md",
        "quote": "[bold",
        "start": 14,
        "end": 19,
        "title": "Rivers",
        "heading_path": (),
        "page": 3,
        "metadata": {"year": 2020},
        "trace": {"bm25": {"rank": 1, "score": 2.0}},
    }


def test_the_json_of_a_hit_has_the_fields_of_its_chunk() -> None:
    found = console.hit_json(HIT)
    assert set(Chunk.__dataclass_fields__) <= found.keys()
    assert (found["score"], found["trace"]) == (0.5, {"bm25": {"rank": 1, "score": 2.0}})
    assert found["duplicates"] == []


def test_the_passages_that_a_hit_stands_for_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    places = [DuplicatePassage(chunk_id=f"{n}", uri="copy.md", start=n, end=9) for n in range(2)]
    hit = replace(HIT, duplicates=tuple(places))
    console.show_hits(Hits([hit]))
    assert "also in copy.md\n" in capsys.readouterr().out
    assert console.hit_json(hit)["duplicates"] == [
        {"chunk_id": "0", "uri": "copy.md", "start": 0, "end": 9},
        {"chunk_id": "1", "uri": "copy.md", "start": 1, "end": 9},
    ]
