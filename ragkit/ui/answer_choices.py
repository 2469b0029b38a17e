"""Choices on the page Ask that decide how questions are answered, as settings."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.settings import Settings
from ragkit.core.types import DocumentRecord

Mode: TypeAlias = Literal["snippet", "reader", "extractive", "generative"]
MODES: dict[Mode, str] = {
    "snippet": "Passages that answer (offline)",
    "reader": "Short answer (offline)",
    "extractive": "Sentences (offline)",
    "generative": "Language model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChoices:
    """Choices of an answer: the mode, the number of passages, the documents."""

    mode: Mode
    model: str = ""
    k: int = 5
    documents: tuple[str, ...] = ()
    where: str = ""


def default_mode(settings: Settings) -> Mode:
    """Return the mode of the settings, or the language model where one was named."""
    return "generative" if settings.llm.model else settings.answer.mode


def settings_for(settings: Settings, choices: AnswerChoices) -> Settings:
    """Return the settings with the choices in force."""
    return settings.model_copy(
        update={
            "answer": settings.answer.model_copy(update={"mode": choices.mode}),
            "llm": settings.llm.model_copy(
                update={"model": choices.model.strip() or settings.llm.model}
            ),
            "retrieval": settings.retrieval.model_copy(update={"k": choices.k}),
        }
    )


def filter_of(choices: AnswerChoices) -> str:
    """Return one filter expression for the chosen documents and the typed condition."""
    parts = [f"({choices.where.strip()})"] if choices.where.strip() else []
    if choices.documents:
        names = ", ".join(f'"{_escaped(uri)}"' for uri in choices.documents)
        parts.append(f"uri in [{names}]")
    return " and ".join(parts)


def document_labels(records: Sequence[DocumentRecord]) -> dict[str, str]:
    """Return a label for each uri: the title, with the uri where titles are equal."""
    titles = [record.title or record.uri for record in records]
    counts = Counter(titles)
    return {
        record.uri: title if counts[title] == 1 else f"{title} ({record.uri})"
        for record, title in zip(records, titles, strict=True)
    }


def _escaped(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)
