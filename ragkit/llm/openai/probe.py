"""What a server is asked before it is trusted with a grammar."""

import secrets
from dataclasses import dataclass

from ragkit.core.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A request whose only possible reply is a word that no model would say by itself."""

    messages: tuple[Message, ...]
    ebnf: str
    word: str

    @property
    def max_tokens(self) -> int:
        """One for each byte of the word, and one for the end."""
        return len(self.word) + 1


def new_proof() -> Proof:
    """A proof with a word of its own, so that no cache can give it."""
    word = f"ragkit-{secrets.token_hex(4)}"
    return Proof(
        messages=(Message(role="user", content="Say anything but a password."),),
        ebnf=f'root ::= "{word}"',
        word=word,
    )
