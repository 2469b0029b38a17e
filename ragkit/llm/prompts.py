"""Prompts that a server can cache, prompt files, and reasoning before the answer."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Generic, TypeVar

from pydantic import BaseModel, Field, create_model

from ragkit.core.types import Message

T = TypeVar("T")


@functools.cache
def prompt_file(package: str, name: str) -> str:
    """Return the text of `prompts/<name>.md` beside a package's modules."""
    return (files(package) / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt whose stable part comes first, so that calls share it in the prefix cache.

    Attributes:
        system: The task, the same for every call.
        examples: Pairs of a user's message and the wanted reply, the same for every call.
        context: Text such as retrieved passages, the same for calls about the same things.
    """

    system: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    context: str = ""

    def messages(self, question: str) -> tuple[Message, ...]:
        """Return the conversation that asks a question."""
        system = [Message(role="system", content=self.system)] if self.system else []
        shots: list[Message] = []
        for request, reply in self.examples:
            shots.append(Message(role="user", content=request))
            shots.append(Message(role="assistant", content=reply))
        asked = f"{self.context}\n\n{question}" if self.context else question
        return (*system, *shots, Message(role="user", content=asked))

    def explain(self, question: str) -> str:
        """Return the exact text that is sent, message by message, each after its role."""
        return explain(self.messages(question))


def explain(messages: Sequence[Message]) -> str:
    """Return the exact text of messages, without the model's chat template.

    `LocalLLM.render` returns the text with the template.
    """
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def with_reasoning(answer: type[T], *, length: int = 600) -> "type[Reasoned[T]]":
    """Make a model of `reasoning`, then `answer`, decoded in that order.

    Source: chain-of-thought prompting, arXiv:2201.11903; schema-guided reasoning.

    Args:
        answer: Type of the answer.
        length: Characters of reasoning at most.
    """
    return create_model(
        f"Reasoned{getattr(answer, '__name__', 'Answer')}",
        __base__=Reasoned,
        reasoning=(str, Field(max_length=length, description="Step by step, before the answer.")),
        answer=(answer, ...),
    )


class Reasoned(BaseModel, Generic[T]):
    """Reasoning, then an answer."""

    reasoning: str
    answer: T
