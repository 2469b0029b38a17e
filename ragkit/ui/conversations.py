"""Conversations as the application keeps them: turns with whole answers, and their export."""

from dataclasses import dataclass

from pydantic import ValidationError

from ragkit.answering.conversations import (
    Author,
    ConversationStore,
    ConversationTurn,
    Owner,
)
from ragkit.core.errors import InputError
from ragkit.ui.stored_answer import StoredAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question, or the answer to one.

    Attributes:
        ordinal: Its place in its conversation, from 0.
        author: The user, or the assistant that answers.
        text: The question, or the text of the answer.
        answer: The whole answer; None for a question, and where what was kept cannot be read.
    """

    ordinal: int
    author: Author
    text: str
    answer: StoredAnswer | None = None


class Conversations(ConversationStore):
    """Conversations whose answers are kept whole."""

    def read(self, owner: Owner, conversation: str) -> list[Turn]:
        """Return the turns in order; none where another tab deleted the conversation."""
        try:
            turns = self.turns(owner, conversation)
        except InputError:
            return []
        return [
            Turn(
                ordinal=ordinal,
                author=turn.author,
                text=turn.text,
                answer=_answer(turn.details),
            )
            for ordinal, turn in enumerate(turns)
        ]

    def add(self, owner: Owner, conversation: str, text: str, answer: StoredAnswer | None) -> int:
        """Append a turn, an answer's if there is one, and return its ordinal.

        Raises:
            InputError: The owner has no such conversation.
        """
        turn = ConversationTurn(
            author="user" if answer is None else "assistant",
            text=text,
            details="" if answer is None else answer.model_dump_json(),
        )
        return self.append(owner, conversation, [turn])


def _answer(details: str) -> StoredAnswer | None:
    """Return the answer that was kept with a turn; None without one, or where it is damaged."""
    try:
        return StoredAnswer.model_validate_json(details) if details else None
    except ValidationError:
        return None


def as_markdown(title: str, turns: list[Turn]) -> str:
    """Return a conversation as Markdown: questions as headings, answers with their quotes."""
    parts = [f"# {title}"]
    for turn in turns:
        if turn.answer is not None:
            parts.append(turn.answer.markdown())
        elif turn.author == "user":
            parts.append(f"## {' '.join(turn.text.split())}")
        else:
            parts.append(turn.text)
    return "\n\n".join(parts) + "\n"
