import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import compile_grammar, json_grammar
from ragkit.grammar.random_decoding import RandomDecoder


def test_compiled_grammars_are_kept(decoder: RandomDecoder) -> None:
    grammar = json_grammar({"type": "integer"})
    assert compile_grammar(grammar, decoder.info) is compile_grammar(grammar, decoder.info)
    with pytest.raises(InputError, match="rejects the grammar"):
        compile_grammar("root ::= (", decoder.info)
    with pytest.raises(InputError, match="takes longer than"):
        compile_grammar(
            json_grammar({"type": "string", "maxLength": 999}), decoder.info, timeout_s=0
        )
