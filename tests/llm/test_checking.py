"""Replies that are checked after decoding."""

import threading
from typing import Any

import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Grammar
from ragkit.testing import ScriptedLLM
from ragkit.testing.llm_contract import GRAMMARS


async def test_a_grammar_is_measured_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    fit = Grammar[Any].fit

    def watched(grammar: Grammar[Any], tokens: int, *, bytes_per_token: float = 1.0) -> Any:
        threads.append(threading.get_ident())
        return fit(grammar, tokens, bytes_per_token=bytes_per_token)

    monkeypatch.setattr(Grammar, "fit", watched)
    llm = ScriptedLLM([], guarantee="schema")
    with pytest.raises(InputError, match="under the tightest limits"):
        await llm.complete("x", grammar=GRAMMARS["decision"], max_tokens=1)
    assert threads
    assert threading.get_ident() not in threads
