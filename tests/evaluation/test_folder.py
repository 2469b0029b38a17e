from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ragkit import ConfigError, InputError
from ragkit.core.settings import LLMSettings
from ragkit.evaluation.folder import EvaluationFolder, check_indexed
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.testing.llm import ScriptedLLM

_INT = TypeAdapter(int)


async def _one() -> int:
    return 1


async def _two() -> int:
    return 2


async def test_finished_queries_are_found_by_a_later_run(tmp_path: Path) -> None:
    folder = EvaluationFolder(path=tmp_path)
    with folder.checkpoint("a", fresh=False) as checkpoint:
        assert await checkpoint.once(_INT, _one, "q") == 1
    with folder.checkpoint("a", fresh=False) as checkpoint:
        assert await checkpoint.once(_INT, _two, "q") == 1
    with folder.checkpoint("b", fresh=False) as checkpoint:
        assert await checkpoint.once(_INT, _two, "q") == 2
    with folder.checkpoint("a", fresh=True) as checkpoint:
        assert await checkpoint.once(_INT, _two, "q") == 2


def test_indexes_of_different_data_or_settings_lie_apart(tmp_path: Path) -> None:
    folder = EvaluationFolder(path=tmp_path)
    places = {folder.index_location(name, built) for name in ("a", "b") for built in ("1", "2")}
    assert len(places) == 4
    assert {place.parent for place in places} == {tmp_path}


async def test_a_models_replies_are_kept_between_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def scripted(_: LLMSettings) -> ScriptedLLM:
        asked.append("opened")
        return ScriptedLLM(["yes"])

    monkeypatch.setattr("ragkit.evaluation.folder.build_llm", scripted)
    folder = EvaluationFolder(path=tmp_path)
    for _ in range(2):
        async with folder.cached_llm(LLMSettings(model="local:x")) as llm:
            assert (await llm.complete("Say yes.", temperature=0)).text == "yes"
            assert (await llm.complete("Say yes.", temperature=0)).text == "yes"
    assert len(asked) == 2


async def test_a_judge_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No LLM is set"):
        async with EvaluationFolder(path=tmp_path).cached_llm(LLMSettings()):
            pass


def test_a_document_that_was_not_indexed_is_named() -> None:
    failed = FailedDocument(uri="a.pdf", reason="damaged")
    with pytest.raises(InputError, match=r"1 documents of 'set' .* 'a.pdf': damaged"):
        check_indexed(IngestReport(failed=[failed]), "set")
    check_indexed(IngestReport(), "set")
