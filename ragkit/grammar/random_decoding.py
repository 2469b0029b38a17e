"""Random decoding under a grammar, where every allowed token is equally likely.

For tests and benchmarks: if a uniform choice among the allowed tokens never gives an invalid reply,
no model can.
"""

import random
import time
from collections.abc import Iterable, Iterator
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

    def __init__(self, pieces: Iterable[bytes] = PIECES) -> None:
        """Build the vocabulary of all bytes and further pieces, such as a tokenizer's."""
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
        """Return whether the text is a complete reply."""
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
        """Decode one reply; None where `max_tokens` did not suffice.

        Args:
            compiled: The grammar.
            seed: Seed of the random choice.
            max_tokens: Greatest number of tokens, with the end token.
            ending: Probability of preferring a closing token, where one is allowed.
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

    def replies(self, grammar: Grammar[object], count: int = 12) -> list[str]:
        """Decode replies, each within the grammar's own bounds.

        Raises:
            AssertionError: `max_tokens` or `max_bytes` does not suffice.
        """
        compiled = self.compile(grammar)
        found: list[str] = []
        for seed in range(count):
            reply = self.decode(compiled, seed=seed, max_tokens=grammar.max_tokens, ending=0.1)
            if reply is None or len(reply) > grammar.max_bytes:
                raise AssertionError(f"The bound {grammar.max_bytes} is too low for {reply!r}.")
            found.append(reply.decode())
        return found

    def refused(
        self,
        compiled: "xgrammar.CompiledGrammar",
        *,
        seed: int,
        max_tokens: int,
        sample: int = 64,
        times: list[float] | None = None,
    ) -> list[bytes]:
        """Decode one reply and return the tokens that a mask allows but the matcher refuses.

        vLLM ends a request with an error when such a token is drawn.

        Args:
            compiled: The grammar.
            seed: Seed of the random choice.
            max_tokens: Greatest number of tokens.
            sample: Tokens that are tried at each step, of those that the mask allows.
            times: Gets the milliseconds that the processor took for each mask.
        """
        matcher = self._xgrammar.GrammarMatcher(compiled)
        chance, found = random.Random(seed), list[bytes]()
        for allowed in self._masks(matcher, max_tokens, [] if times is None else times):
            tried = chance.sample(allowed, min(sample, len(allowed)))
            accepted = [token for token in tried if self._accepts(matcher, token)]
            found.extend(self.vocabulary[token] for token in tried if token not in accepted)
            if not accepted or accepted[0] == self.end:
                break
            matcher.accept_token(accepted[0])
        return found

    def _masks(
        self, matcher: "xgrammar.GrammarMatcher", count: int, times: list[float]
    ) -> Iterator[list[int]]:
        mask = self._xgrammar.allocate_token_bitmask(1, len(self.vocabulary))
        for _ in range(count):
            started = time.thread_time()
            matcher.fill_next_token_bitmask(mask)
            times.append(1000 * (time.thread_time() - started))
            yield self._allowed(list(map(int, mask[0])))

    def _accepts(self, matcher: "xgrammar.GrammarMatcher", token: int) -> bool:
        accepted = bool(matcher.accept_token(token))
        if accepted:
            matcher.rollback(1)
        return accepted

    def _allowed(self, words: list[int]) -> list[int]:
        return [
            32 * index + bit
            for index, word in enumerate(words)
            if word
            for bit in range(32)
            if word >> bit & 1 and 32 * index + bit <= self.end
        ]

    def _choose(self, words: list[int], chance: random.Random, ending: float) -> int:
        allowed = self._allowed(words)
        closing = [
            token for token in allowed if token == self.end or self.vocabulary[token] in _CLOSING
        ]
        return chance.choice(closing if closing and chance.random() < ending else allowed)


_CLOSING = frozenset({b'"', b"}", b"]", b'"}', b'"]'})
