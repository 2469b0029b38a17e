import re
import shutil
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from ragkit import Settings
from ragkit.cli.doctor import PACKAGES, examine
from ragkit.core.settings import IndexSettings, IngestSettings, LLMSettings
from ragkit.grammar import choice_grammar
from ragkit.testing.model_server import EmulatedModelServer
from tests.llm.openai.emulation import LlamaCppEmulation, OpenAIEmulation

ROOT = Path(__file__).parents[2]
GRAMMARS = {"yes": choice_grammar(["yes"])}


@pytest.mark.parametrize(
    ("emulation", "model", "said"),
    [
        (
            OpenAIEmulation(grammars=GRAMMARS),
            "openai:{url}#model-7",
            "model-7: checks replies by their JSON Schema (guarantee: schema), context of 32768",
        ),
        (
            LlamaCppEmulation(),
            "llamacpp:{url}",
            "emulated: decodes under grammars (guarantee: grammar), context of 40000",
        ),
    ],
)
async def test_doctor_says_in_a_word_what_the_llm_guarantees(
    emulation: OpenAIEmulation | LlamaCppEmulation, model: str, said: str, tmp_path: Path
) -> None:
    async with EmulatedModelServer(emulation) as server:
        llm = LLMSettings(model=model.format(url=server.url), api_key=SecretStr("sesame"))
        index = IndexSettings(location=str(tmp_path / "index"))
        checks = await examine(Settings(llm=llm, index=index))
    found = next(check for check in checks if check.name == "llm")
    assert found.status == "ok", found
    assert found.detail.startswith(said)


@pytest.mark.parametrize(
    ("settings", "name", "said"),
    [
        ({"embedder": {"model": "vllm:http://127.0.0.1:9"}}, "embedder", "No server answers"),
        ({"embedder": {"model": "packaged:nope"}}, "embedder", "Unknown packaged model 'nope'"),
        ({"reranker": {"model": "vllm:http://127.0.0.1:9"}}, "reranker", "No server answers"),
        ({"index": {"location": "http://[::1"}}, "index", "a port that is no number"),
        ({"index": {"location": "x" * 300}}, "disk", "File name too long"),
    ],
)
async def test_a_part_that_cannot_work_fails_and_the_others_are_checked(
    settings: dict[str, object], name: str, said: str
) -> None:
    checks = {one.name: one for one in await examine(Settings.model_validate(settings))}
    assert checks[name].status == "failed"
    assert said in checks[name].detail
    assert list(checks)[-6:] == ["embedder", "ocr", "reranker", "llm", "index", "disk"]


def test_doctor_knows_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared: dict[str, list[str]] = project["optional-dependencies"]
    for extra in declared.keys() - {"dev", "docs"}:
        named = {re.split(r"[\[<>=!;~ ]", one)[0] for one in declared[extra]}
        assert not named or set(PACKAGES[extra]) <= named, extra


async def test_doctor_names_formats_sources_and_what_reads_scanned_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = IndexSettings(location=str(tmp_path / "index"))

    async def found(ocr: str | None) -> dict[str, tuple[str, str, str]]:
        checks = await examine(Settings(index=index, ingest=IngestSettings(ocr=ocr)))
        return {check.name: (check.status, check.detail, check.fix) for check in checks}

    checks = await found(None)
    assert "OpenDocument (.odt .ods .odp)" in checks["formats"][1]
    assert "sitemaps" in checks["sources"][1]
    assert checks["ocr"][0] == "off"
    if shutil.which("tesseract") is not None:
        status, detail, _ = (await found("eng"))["ocr"]
        assert (status, detail.split()[0]) == ("ok", "tesseract")
    monkeypatch.setenv("PATH", "/nowhere")
    checks = await found("eng")
    assert checks["ocr"][0] == "failed"
    assert "apt-get install tesseract-ocr" in checks["ocr"][1]
    assert checks["git"] == ("off", "not installed", "apt-get install git")
