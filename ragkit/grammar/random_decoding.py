"""Random decoding under a grammar, as the harshest model would: every allowed token alike.

For tests and benchmarks: what a uniform choice among allowed tokens always gets right, no model
can get wrong.
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragkit.grammar.compiler import compile_grammar
from ragkit.grammar.grammar import Grammar

if TYPE_CHECKING:
    import xgrammar

PIECES = (
    b'"', b'":', b'":"', b'","', b'"}', b'"]', b'{"', b'},{"', b"[]", b"{}", b"true", b"false",
    b"null", b" the", b"ing", b"e", b"1", b"00", b"0.", b".5", b"-1", b"e+", b"\\n", b"\\",
    b'\\"', b"\\u00", b"\n", b"\x00", b"\x7f", b"\xc3", b"\xc3\xa9", b"\xe2\x82", b"\x82\xac",
    b"\xe2\x82\xac", b"\xf0\x9f", b"\x98\x80", b"\xed\xa0\x80", b"\xff\xfe", b"a\xc3", b"\xa9b",
    b"2024-", b"-01", b"T", b' """', b'."""', b'a"b', b'.")', b'-\\', b'x}', b"1]}", b'e","',
)  # fmt: skip
"""Multi-byte pieces, among them some that split or break UTF-8 characters, and some that reach
over the end of a string: xgrammar 0.2.8 lets those into `[...]{0,n}` of a class with gaps."""


class RandomDecoder:
    """Decodes with a byte-level vocabulary: all 256 bytes, further pieces, and an end token."""

    def __init__(self, pieces: Sequence[bytes] = PIECES) -> None:
        """Build the vocabulary."""
        import xgrammar

        self._xgrammar = xgrammar
        self.vocabulary = [*(bytes([byte]) for byte in range(256)), *pieces, b"</s>"]
        self.end = len(self.vocabulary) - 1
        self.info = xgrammar.TokenizerInfo(
            self.vocabulary,
            xgrammar.VocabType.RAW,
            vocab_size=len(self.vocabulary),
            stop_token_ids=[self.end],
        )

    def compile(
        self, grammar: Grammar[object] | str, *, timeout_s: float = 60
    ) -> "xgrammar.CompiledGrammar":
        """Compile for this vocabulary."""
        return compile_grammar(grammar, self.info, timeout_s=timeout_s)

    def accepts(self, compiled: "xgrammar.CompiledGrammar", text: str) -> bool:
        """Whether the text is a complete reply."""
        matcher = self._xgrammar.GrammarMatcher(compiled)
        return bool(matcher.accept_string(text) and matcher.is_completed())

    def decode(
        self,
        compiled: "xgrammar.CompiledGrammar",
        *,
        seed: int,
        max_tokens: int,
        ending: float = 0.0,
    ) -> bytes | None:
        """One reply, or None where `max_tokens` did not suffice.

        Args:
            compiled: The grammar.
            seed: Of the random choice.
            max_tokens: Number of tokens, with the end token.
            ending: Chance to prefer a closing token where one is allowed, to keep replies short.
        """
        matcher = self._xgrammar.GrammarMatcher(compiled)
        mask = self._xgrammar.allocate_token_bitmask(1, len(self.vocabulary))
        chance, reply = random.Random(seed), bytearray()
        for _ in range(max_tokens):
            matcher.fill_next_token_bitmask(mask)
            token = self._choose(list(map(int, mask[0])), chance, ending)
            if not matcher.accept_token(token):
                raise AssertionError(f"xgrammar refused its own token {self.vocabulary[token]!r}")
            if token == self.end:
                return bytes(reply)
            reply += self.vocabulary[token]
        return None

    def _choose(self, words: list[int], chance: random.Random, ending: float) -> int:
        allowed = [
            32 * index + bit
            for index, word in enumerate(words)
            for bit in range(32)
            if word >> bit & 1 and 32 * index + bit <= self.end
        ]
        closing = [
            token for token in allowed if token == self.end or self.vocabulary[token] in _CLOSING
        ]
        return chance.choice(closing if closing and chance.random() < ending else allowed)


_CLOSING = frozenset({b'"', b"}", b"]", b'"}', b'"]'})
