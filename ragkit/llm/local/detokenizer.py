"""`Detokenizer`: the text of tokens that come one by one, without decoding them all each time."""

from collections.abc import Callable, Sequence

_BROKEN = "�"


class Detokenizer:
    """Decodes the last few tokens only.

    A tokenizer may decode a token differently after other tokens (white space, characters of
    several tokens), so the tokens that were settled last are decoded along with the new ones.

    Attributes:
        final: The text that later tokens cannot change.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Use a tokenizer's function from ids to text."""
        self._decode = decode
        self._ids: list[int] = []
        self._before = 0  # where decoding begins
        self._settled = 0  # the tokens before this one have their final text
        self.final = ""
        self._pending = ""

    def add(self, token: int) -> None:
        """Add a token."""
        self._ids.append(token)
        known = self._decode(self._ids[self._before : self._settled])
        text = self._decode(self._ids[self._before :])[len(known) :]
        if text.endswith(_BROKEN):  # a part of a character, which the next token may complete
            self._pending = text
            return
        self._before, self._settled = self._settled, len(self._ids)
        self._pending = ""
        self.final += text

    @property
    def text(self) -> str:
        """The whole text, with the part that is not final yet."""
        return self.final + self._pending
