import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from ragkit.agents.state import StoppedBy
from ragkit.cli.main import app
from ragkit.core.protocols import LLM, Embedder
from ragkit.core.settings import EmbedderSettings, LLMSettings
from ragkit.testing.llm import ScriptedLLM
from ragkit.testing.vllm_server import VLLMServer


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm: Embedder) -> None:
    monkeypatch.chdir(tmp_path)

    # The commands load their own model; the session's spares each test the seconds.
    def given(settings: EmbedderSettings) -> Embedder:
        return minilm

    monkeypatch.setattr("ragkit.sdk.parts.build_embedder", given)
    monkeypatch.setattr("ragkit.evaluation.retrieval.build_embedder", given)
    Path("docs").mkdir()
    Path("docs/river.md").write_text(
        "---\nyear: 2020\n---\n# Rivers\n\nThe longest river of Europe is the Volga."
    )
    Path("docs/lake.txt").write_text("The largest lake of Africa is Lake Victoria.")
    Path("ragkit.toml").write_text('[index.fields]\nyear = "integer"\n')


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _json(*arguments: str) -> Any:  # JSON of any shape
    result = _run(*arguments, "--json")
    return json.loads(result.stdout)


@pytest.fixture
def _ingested() -> None:
    assert _run("ingest", "docs").exit_code == 0


def test_ingest_reports_what_it_did() -> None:
    result = _run("ingest", "docs")
    assert result.exit_code == 0
    assert "2 added, 0 updated, 0 unchanged, 0 deleted, 0 failed" in result.stdout
    report = _json("ingest", "docs")
    assert report["unchanged"] == ["docs/lake.txt", "docs/river.md"]


def test_ingest_counts_the_files_that_it_skipped() -> None:
    Path("docs/image.png").write_bytes(b"x")
    assert "skipped 1 files of other formats" in _run("ingest", "docs").stdout


def test_ingest_ends_with_status_3_when_a_file_failed() -> None:
    Path("docs/empty.md").write_text("")
    result = _run("ingest", "docs")
    assert result.exit_code == 3
    assert "docs/empty.md" in result.stdout
    assert _json("ingest", "docs")["failed"][0]["uri"] == "docs/empty.md"


def test_ingest_shows_its_progress_where_there_is_no_terminal() -> None:
    assert "embed 2/2" in _run("ingest", "docs").stderr


@pytest.mark.usefixtures("_ingested")
def test_ingest_with_sync_deletes_what_is_gone() -> None:
    Path("docs/lake.txt").unlink()
    assert _json("ingest", "docs", "--sync")["deleted"] == ["docs/lake.txt"]


@pytest.mark.usefixtures("_ingested")
def test_search_as_json_has_hits_with_their_trace() -> None:
    found = _json("search", "longest river", "--k", "1")
    (hit,) = found["hits"]
    assert hit["uri"] == "docs/river.md"
    assert hit["trace"]["bm25"]["rank"] == 1
    assert found["explanation"] is None


@pytest.mark.usefixtures("_ingested")
def test_search_with_explain_shows_every_stage_and_what_is_off() -> None:
    result = _run("search", "longest river", "--explain")
    for word in ("dense", "bm25", "fusion", "rerank: off", "duplicates dropped", "time:"):
        assert word in result.stdout
    stages = _json("search", "longest river", "--explain")["explanation"]["stages"]
    assert list(stages) == ["dense", "bm25", "fusion"]


@pytest.mark.usefixtures("_ingested")
def test_search_takes_a_filter() -> None:
    uris = [hit["uri"] for hit in _json("search", "water", "--where", "year >= 2020")["hits"]]
    assert uris == ["docs/river.md"]
    result = _run("search", "water", "--where", "colour == 1")
    assert result.exit_code == 1
    assert "Unknown field 'colour'" in result.stderr


@pytest.mark.usefixtures("_ingested")
def test_ask_prints_quotes_sources_and_ranks() -> None:
    result = _run("ask", "What is the longest river of Europe?")
    assert result.exit_code == 0
    for part in ("The longest river of Europe is the Volga.", "docs/river.md", "bm25 #1", "dense"):
        assert part in result.stdout


@pytest.mark.usefixtures("_ingested")
def test_ask_as_json_carries_citations_with_offsets() -> None:
    answer = _json("ask", "What is the longest river of Europe?")
    (citation,) = answer["citations"]
    text = Path("docs/river.md").read_text().partition("---\n")[2].partition("---\n")[2]
    assert citation["quote"] == "The longest river of Europe is the Volga."
    assert citation["quote"] in text
    assert set(citation["trace"]) == {"dense", "bm25", "fusion"}
    assert answer["abstained"] is False


@pytest.mark.usefixtures("_ingested")
def test_ask_says_when_the_documents_do_not_answer() -> None:
    answer = _json("ask", "Who composed the opera Tosca?")
    assert (answer["abstained"], answer["citations"]) == (True, [])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replies of the model that `--llm` names, whatever its name; to be filled by a test."""
    replies: list[str] = []

    def opened(_: LLMSettings) -> LLM:
        return ScriptedLLM(iter(replies))

    monkeypatch.setattr("ragkit.llm.build.build_llm", opened)
    return replies


@pytest.mark.usefixtures("_ingested")
def test_ask_with_a_model_shows_its_answer_and_the_quotes(scripted: list[str]) -> None:
    said = (
        '{"quotes":[{"passage":"1","quote":"The longest river of Europe is the Volga."}],'
        '"sufficient":true,"answer":"The [bold]Volga[/bold], 3531 km.","citations":["1"]}'
    )
    scripted += [said, said]
    result = _run("ask", "What is the longest river?", "--llm", "local:x", "--k", "1")
    assert result.exit_code == 0, result.stderr
    assert "The [bold]Volga[/bold], 3531 km.\n" in result.stdout
    assert '"The longest river of Europe is the Volga."' in result.stdout
    assert "docs/river.md" in result.stdout
    answer = _json("ask", "What is the longest river?", "--llm", "local:x", "--k", "1")
    assert answer["text"] == "The [bold]Volga[/bold], 3531 km."
    assert answer["citations"][0]["uri"] == "docs/river.md"
    assert answer["left_out"] == []
    assert answer["usage"]["completion"] > 0


@pytest.mark.usefixtures("_ingested")
def test_ask_with_a_model_says_when_the_documents_do_not_answer(scripted: list[str]) -> None:
    scripted.append('{"quotes":[],"sufficient":false,"answer":"","citations":[]}')
    result = _run("ask", "Who composed the opera Tosca?", "--llm", "local:x")
    assert "The documents do not answer this." in result.stdout


@pytest.mark.usefixtures("_ingested")
def test_search_transforms_the_query_and_explains_what_that_took(scripted: list[str]) -> None:
    scripted += ['{"queries":["Lake Victoria"]}'] * 2
    arguments = ("search", "longest river", "--transform", "multi_query", "--llm", "local:x")
    result = _run(*arguments, "--explain")
    assert "multi_query: 1 calls" in result.stdout
    assert "'Lake Victoria'" in result.stdout
    found = _json(*arguments, "--explain")
    assert found["hits"][0]["trace"]["multi_query"]["rank"] == 1
    assert found["explanation"]["transformations"][0]["written"] == ["Lake Victoria"]


@pytest.mark.usefixtures("_ingested")
def test_a_transformation_without_a_model_is_one_line_that_names_the_setting() -> None:
    for command in ("search", "ask"):
        result = _run(command, "river", "--transform", "hyde")
        assert result.exit_code == 1
        assert result.stderr.startswith("ConfigError: The transformation 'hyde' needs a language")
        assert "llm.model" in result.stderr
    assert _run("search", "river", "--transform", "feedback").exit_code == 0
    assert _run("search", "river", "--transform", "magic").exit_code == 2


@pytest.mark.usefixtures("_ingested")
def test_ask_streams_from_a_real_server(vllm_server: VLLMServer) -> None:
    llm = f"vllm:{vllm_server.url}"
    arguments = ("ask", "Longest river?", "--llm", llm, "--transform", "decompose")
    result = _run(*arguments)
    assert result.exit_code == 0, result.stderr
    answer = _json(*arguments)
    assert answer["usage"]["completion"] > 0
    assert answer["abstained"] == (answer["citations"] == [])


@pytest.mark.parametrize("query", ["", "???", "x" * 100_000])
@pytest.mark.usefixtures("_ingested")
def test_unusable_queries_are_one_line_and_status_1(query: str) -> None:
    result = _run("search", query)
    assert result.exit_code == 1
    assert result.stderr.startswith("InputError: The query")
    assert _json("search", query)["error"]["type"] == "InputError"


def test_a_missing_index_is_named_with_the_command_that_makes_it() -> None:
    result = _run("ask", "anything", "--index", "nowhere")
    assert result.exit_code == 1
    assert "No index at 'nowhere'" in result.stderr
    assert "ragkit ingest" in result.stderr


@pytest.mark.usefixtures("_ingested")
def test_an_index_of_another_model_is_named_with_the_difference() -> None:
    Path("ragkit.toml").write_text("[index]\nsearch_dimensions = 64\n")
    result = _run("search", "river")
    assert result.exit_code == 1
    assert "search_dimensions is 128 in the index and 64 in the settings" in result.stderr


@pytest.mark.usefixtures("_ingested")
def test_verify_finds_nothing_in_a_sound_index() -> None:
    result = _run("verify")
    assert (result.exit_code, result.stdout.strip()) == (0, "0 faults")
    assert _json("verify") == {"faults": [], "repaired": False}


def test_eval_prints_each_stage_with_intervals(beir_set: Path) -> None:
    result = _json("eval", str(beir_set), "--stages", "bm25,dense,hybrid")
    assert result["dataset"] == "animals"
    assert list(result["stages"]) == ["bm25", "dense", "hybrid"]
    for stage in result["stages"].values():
        assert set(stage["ndcg@10"]) == {"value", "low", "high"}
        assert {"recall@100", "mrr@10", "p50_ms", "p95_ms"} <= set(stage)
        assert 0 <= stage["ndcg@10"]["low"] <= stage["ndcg@10"]["value"] <= 1
    table = _run("eval", str(beir_set), "--stages", "bm25", "--limit", "1")
    assert "1 queries" in table.stdout


def test_eval_refuses_unknown_stages_and_missing_parts(beir_set: Path) -> None:
    assert "Unknown stage 'magic'" in _run("eval", str(beir_set), "--stages", "magic").stderr
    assert (
        "needs a reranker, and none is set"
        in _run("eval", str(beir_set), "--stages", "rerank").stderr
    )


def test_doctor_names_what_is_missing_and_the_remedy() -> None:
    checks = {check["name"]: check for check in _json("doctor")["checks"]}
    assert checks["embedder"]["status"] == "ok"
    assert checks["index"]["status"] == "missing"
    assert checks["index"]["fix"].startswith("ragkit ingest")
    assert checks["reranker"]["status"] == "off"
    assert checks["llm"]["status"] == "off"


def test_doctor_says_whether_the_llm_answers(
    monkeypatch: pytest.MonkeyPatch, random_model: Path
) -> None:
    for model, status in (
        (f"local:{random_model}", "ok"),
        ("vllm:http://127.0.0.1:9", "failed"),
        ("magic:x", "failed"),
    ):
        monkeypatch.setenv("RAGKIT_LLM__MODEL", model)
        result = _run("doctor", "--json")
        checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
        assert checks["llm"]["status"] == status, checks["llm"]
        assert result.exit_code == (status == "failed")
    assert "'magic:x'" in checks["llm"]["detail"]


@pytest.mark.usefixtures("_ingested")
@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
def test_an_agent_works_on_a_real_server(pattern: str, vllm_server: VLLMServer) -> None:
    arguments = ["agent", "What is 2 + 3?", "--pattern", pattern, "--budget", "steps=4,seconds=60"]
    result = _run(*arguments, "--llm", f"vllm:{vllm_server.url}", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["pattern"] == pattern
    ends = {"finished", "length", "steps", "tokens", "seconds", "repeats", "context"}
    assert found["stopped_by"] in ends
    assert {"answer", "citations", "steps", "usage", "cost"} <= found.keys()
    assert len([step for step in found["steps"] if step["kind"] == "model"]) <= 4
    errors = [step["error"] for step in found["steps"] if step["error"]]
    # A prompt that is too long may be asked again, shorter: a random model writes long thoughts.
    errors = [error for error in errors if "do not fit the model's context" not in error]
    assert len(errors) <= (found["stopped_by"] == "seconds"), errors


def test_an_agent_shows_its_steps(random_model: Path) -> None:
    arguments = ["agent", "2 + 3?", "--tools", "calculator", "--budget", "steps=2,tokens=4000"]
    result = _run(*arguments, "--llm", f"local:{random_model}")
    assert result.exit_code == 0, result.stderr
    reasons = "|".join(get_args(StoppedBy))
    assert re.search(rf"({reasons}), \d+ steps, \d+ tokens", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--tools", "magic"], "Unknown tool 'magic'"),
        (["--tools", "sql"], "sql=FILE"),
        (["--budget", "patience=3"], "Unknown limit 'patience'"),
        (["--budget", "steps=many"], "'many'"),
        ([], "No LLM is set"),
    ],
)
def test_an_agent_that_cannot_be_made_says_why(arguments: list[str], named: str) -> None:
    llm = ["--llm", "local:nothing"] if arguments else []
    result = _run("agent", "x", *arguments, *llm)
    assert result.exit_code == 1
    assert named in result.stderr


@pytest.mark.usefixtures("_ingested")
def test_doctor_tells_an_index_of_another_model_from_a_missing_one() -> None:
    Path("ragkit.toml").write_text("[index]\nsearch_dimensions = 64\n")
    checks = {check["name"]: check for check in _json("doctor")["checks"]}
    assert checks["index"]["status"] == "failed"
    assert "search_dimensions" in checks["index"]["detail"]


def test_doctor_lists_the_formats_that_are_read() -> None:
    checks = {check["name"]: check for check in _json("doctor")["checks"]}
    for name in ("PDF (.pdf)", "OpenDocument (.odt .ods .odp)", "XML", "reStructuredText"):
        assert name in checks["formats"]["detail"]
    assert "watchfiles" in checks


def test_doctor_notices_a_server_that_does_not_answer() -> None:
    result = _run("doctor", "--index", "http://127.0.0.1:9", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["index"]["fix"] == "docker compose up -d qdrant"


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("ragkit")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for name in ("ingest", "search", "ask", "agent", "eval", "verify", "doctor"):
        assert name in done.stdout
