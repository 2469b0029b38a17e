from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ragkit.llm.local.detokenizer import Detokenizer

TEXTS = st.text(max_size=60)


@pytest.fixture(scope="module")
def byte_level(random_model: Path) -> Any:
    """The tokenizer of the random model, whose tokens are bytes and runs of bytes."""
    return Tokenizer.from_file(str(random_model / "tokenizer.json"))


@given(text=TEXTS)
def test_the_text_is_that_of_all_tokens_decoded_at_once(byte_level: Any, text: str) -> None:
    ids = byte_level.encode(text).ids
    detokenizer, seen = Detokenizer(byte_level.decode), ""
    for token in ids:
        detokenizer.add(token)
        assert detokenizer.final.startswith(seen)
        seen = detokenizer.final
    assert detokenizer.text == byte_level.decode(ids)


@given(ids=st.lists(st.integers(3, 4000), max_size=60))
def test_tokens_that_are_no_text_become_replacement_characters(
    byte_level: Any, ids: list[int]
) -> None:
    detokenizer = Detokenizer(byte_level.decode)
    for token in ids:
        detokenizer.add(token)
    assert detokenizer.text == byte_level.decode(ids)


def test_a_long_reply_is_not_decoded_again_for_each_token() -> None:
    decoded = 0

    def decode(ids: Sequence[int]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return "".join(chr(97 + number) for number in ids)

    detokenizer = Detokenizer(decode)
    for number in range(2000):
        detokenizer.add(number % 26)
    assert detokenizer.text == "".join(chr(97 + number % 26) for number in range(2000))
    assert decoded < 5 * 2000


def test_a_character_of_several_tokens_is_held_back() -> None:
    data = "a🐺b".encode()

    def decode(ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    detokenizer = Detokenizer(decode)
    finals: list[str] = []
    for byte in data:
        detokenizer.add(byte)
        finals.append(detokenizer.final)
    assert finals == ["a", "a", "a", "a", "a🐺", "a🐺b"]
