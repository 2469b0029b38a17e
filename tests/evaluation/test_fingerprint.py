from pathlib import Path

import pytest

from ragkit import Settings
from ragkit.core.settings import IndexSettings, RerankerSettings, RetrievalSettings
from ragkit.evaluation.fingerprint import DECIDING, PACKAGE, digest, settings_digest


def test_the_digest_depends_on_what_decides_results_and_nothing_else() -> None:
    same = Settings(index=IndexSettings(location="elsewhere"), tenant="other")
    assert settings_digest(Settings()) == settings_digest(same)
    other = Settings(retrieval=RetrievalSettings(bm25_weight=3.0))
    assert settings_digest(Settings()) != settings_digest(other)


@pytest.mark.parametrize("setting", ["cross-encoder:{}", "{}/weights"])
def test_a_changed_local_model_changes_the_digest(tmp_path: Path, setting: str) -> None:
    settings = Settings(reranker=RerankerSettings(model=setting.format(tmp_path)))
    (tmp_path / "weights").write_text("1")
    before = settings_digest(settings)
    assert before == settings_digest(settings)
    (tmp_path / "weights").write_text("22")
    assert before != settings_digest(settings)


def test_texts_are_kept_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_every_package_that_decides_results_has_a_part() -> None:
    assert [part for part in DECIDING if not (PACKAGE / part / "__init__.py").is_file()] == []
    apart = {"cli", "planning", "server", "telemetry", "testing", "training", "ui"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - apart == set(DECIDING)
