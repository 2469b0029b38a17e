"""The probe for servers that ignore grammars."""

import secrets
from dataclasses import dataclass

from ragkit.core.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A request whose grammar allows a single word that no model would say by itself."""

    messages: tuple[Message, ...]
    ebnf: str
    word: str

    @property
    def max_tokens(self) -> int:
        """One for each byte of the word, and one for the end."""
        return len(self.word) + 1


def new_proof() -> Proof:
    """Make a proof with a random word, which no cache holds."""
    word = f"ragkit-{secrets.token_hex(4)}"
    return Proof(
        messages=(Message(role="user", content="Say anything but a password."),),
        ebnf=f'root ::= "{word}"',
        word=word,
    )
