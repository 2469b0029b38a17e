from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ragkit.core.errors import ConfigError
from ragkit.models.packaged import packaged_folder
from ragkit.models.tokens import ModelTokenizer

FILE = packaged_folder() / "tokenizer.json"
TOKENIZER = ModelTokenizer(FILE, model_max_tokens=256)


def test_a_prompt_and_the_marks_are_taken_from_the_limit() -> None:
    assert TOKENIZER.max_tokens == 254
    assert ModelTokenizer(FILE, model_max_tokens=256, prompt="query: ").max_tokens == 252


def test_a_token_starts_where_its_first_character_stands() -> None:
    assert list(TOKENIZER.token_starts("the  wolf, howling")) == [0, 5, 9, 11]
    assert list(TOKENIZER.token_starts("")) == []


@given(text=st.text(max_size=60))
def test_starts_are_in_order_and_within_the_text(text: str) -> None:
    starts = list(TOKENIZER.token_starts(text))
    assert starts == sorted(starts)
    assert all(0 <= start < len(text) for start in starts)


def test_a_text_of_any_length_is_measured_whole() -> None:
    assert len(TOKENIZER.token_starts("wolf " * 5000)) == 5000


def test_the_original_tokenizer_keeps_its_truncation() -> None:
    original: Any = Tokenizer.from_file(str(FILE))  # its arguments are untyped
    original.no_padding()
    original.enable_truncation(8)
    ours = ModelTokenizer(original, model_max_tokens=8)
    assert len(ours.token_starts("wolf " * 50)) == 50
    assert len(original.encode("wolf " * 50).ids) == 8


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tokenizer at .*tokenizer.json"):
        ModelTokenizer(tmp_path / "tokenizer.json", model_max_tokens=8).token_starts("x")
