import traceback
from pathlib import Path

import pytest

from ragkit import ConfigError, Settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    settings = Settings.load()
    assert settings.index.location == ".ragkit/index"
    assert settings.embedder.model == "packaged:all-minilm-l6-v2"
    assert settings.reranker.model is None


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("ragkit.toml").write_text("[retrieval]\nk = 7\nrrf_k = 20\n")
    monkeypatch.setenv("RAGKIT_RETRIEVAL__K", "9")
    settings = Settings.load()
    assert (settings.retrieval.k, settings.retrieval.rrf_k) == (9, 20)


def test_a_named_file_is_read_instead() -> None:
    Path("other.toml").write_text('[index.fields]\nyear = "integer"\n')
    assert Settings.load(Path("other.toml")).index.fields == {"year": "integer"}


def test_a_missing_named_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"No settings file at 'nowhere\.toml'"):
        Settings.load(Path("nowhere.toml"))


def test_an_unknown_setting_is_named() -> None:
    Path("ragkit.toml").write_text("[retrieval]\ndepht = 7\n")
    with pytest.raises(ConfigError, match=r"retrieval\.depht"):
        Settings.load()


@pytest.mark.parametrize("name", ["RAGKIT_RETRIEVAL_K", "RAGKIT_RETREIVAL__K", "ragkit_tennant"])
def test_a_variable_of_no_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=f"{name} is no setting"):
        Settings.load()


def test_a_bad_value_is_named_with_what_was_given() -> None:
    Path("ragkit.toml").write_text("[retrieval]\nk = 0\n")
    with pytest.raises(ConfigError, match=r"retrieval\.k: .* got 0"):
        Settings.load()


def test_a_file_that_is_not_toml_is_an_error() -> None:
    Path("ragkit.toml").write_text("this is = = not toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.load()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGKIT_INDEX__API_KEY", "hunter2")
    assert "hunter2" not in repr(Settings.load())


SECRET = "mk-7f3a-SECRET"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAGKIT_INDEX__APIKEY", SECRET),
        ("RAGKIT_LLM__APIKEY", SECRET),
        ("RAGKIT_INDEX__API_KEY__X", SECRET),
        ("RAGKIT_INDEX", SECRET),
        ("RAGKIT_INDEX", f'{{"apikey": "{SECRET}"}}'),
        ("RAGKIT_INDEX", f'{{"api_key": {{"value": "{SECRET}"}}}}'),
        ("RAGKIT_LLM", f'["{SECRET}"]'),
        ("RAGKIT_INDEXX__API_KEY", SECRET),
        ("RAGKIT_API_KEY", SECRET),
    ],
)
def test_no_secret_is_in_the_message_of_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        f'[index]\napikey = "{SECRET}"\n',
        f'[index]\napi_key = ["{SECRET}"]\n',
        f'index = "{SECRET}"\n',
        f'[index]\napi_key = "{SECRET}\n',
        f'[index.fields]\nname = {{ api_key = "{SECRET}" }}\n',
    ],
)
def test_no_secret_is_in_the_message_of_a_wrong_file(text: str) -> None:
    Path("ragkit.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
