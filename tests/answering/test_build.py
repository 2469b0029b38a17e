import pytest

from ragkit import Settings
from ragkit.answering.build import build_answerer
from ragkit.answering.extractive import ExtractiveAnswerer
from ragkit.answering.generative import GenerativeAnswerer
from ragkit.answering.reader import ReaderAnswerer
from ragkit.answering.snippet import SnippetAnswerer
from ragkit.core.errors import ConfigError
from ragkit.core.settings import AnswerSettings
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM


def test_the_mode_chooses_the_answerer() -> None:
    chosen = {
        mode: build_answerer(
            Settings(answer=AnswerSettings(mode=mode)), embedder=HashEmbedder(), llm=ScriptedLLM([])
        )
        for mode in ("snippet", "reader", "extractive", "generative")
    }
    assert isinstance(chosen["snippet"], SnippetAnswerer)
    assert isinstance(chosen["reader"], ReaderAnswerer)
    assert isinstance(chosen["extractive"], ExtractiveAnswerer)
    assert isinstance(chosen["generative"], GenerativeAnswerer)


def test_snippets_are_the_default() -> None:
    assert isinstance(build_answerer(Settings(), embedder=HashEmbedder()), SnippetAnswerer)


def test_generative_without_a_model_is_an_error_with_its_fix() -> None:
    settings = Settings(answer=AnswerSettings(mode="generative"))
    with pytest.raises(ConfigError, match=r"'generative'.*Fix: set llm\.model"):
        build_answerer(settings, embedder=HashEmbedder())
