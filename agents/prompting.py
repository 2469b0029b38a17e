"""Prompts: files beside this module, replaceable by name; untrusted text is fenced off in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ragkit.agents.state import clean, dumped
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Tool
from ragkit.core.types import Message
from ragkit.llm.prompts import prompt_file

_PLACE = re.compile(r"\{([a-z_]+)\}")
TRIMMED = "\n[... trimmed ...]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of an agent by name.

    Attributes:
        texts: Each with `{places}` to fill.
    """

    texts: Mapping[str, str]

    @classmethod
    def of(cls, names: Iterable[str], replaced: Mapping[str, str] | None = None) -> "Prompts":
        """The files of these names, or the texts given instead.

        Raises:
            ConfigError: A replacement has a name that this agent does not use, or a place that
                the file does not have.
        """
        texts = {name: prompt_file("ragkit.agents", name) for name in names}
        for name, text in (replaced or {}).items():
            if name not in texts:
                known = ", ".join(sorted(texts))
                raise ConfigError(f"This agent has no prompt {name!r}; it has {known}.")
            unknown = set(_PLACE.findall(text)) - set(_PLACE.findall(texts[name]))
            if unknown:
                places = ", ".join(sorted(set(_PLACE.findall(texts[name])))) or "none"
                raise ConfigError(f"The prompt {name!r} has the places {places}, not {unknown!r}.")
            texts[name] = text
        return cls(texts=texts)

    def fill(self, name: str, **places: str) -> str:
        """A prompt with its places filled; what is filled in is not searched for places."""
        return _PLACE.sub(lambda m: places.get(m[1], m[0]), self.texts[name])

    def system(self, name: str, **places: str) -> Message:
        """A prompt as the system message, the part that stays the same from call to call."""
        places = {"untrusted": self.texts.get("untrusted", ""), **places}
        return Message(role="system", content=self.fill(name, **places))

    def user(self, name: str, **places: str) -> Message:
        """A prompt as a message of the user."""
        return Message(role="user", content=self.fill(name, **places))


def tool_list(tools: Iterable[Tool]) -> str:
    """Tools as a model reads of them: name, description, schema of the arguments."""
    return "\n".join(
        f"- {tool.name}: {' '.join(tool.description.split())}\n"
        f"  arguments: {dumped(dict(tool.parameters))}"
        for tool in tools
    )


def fenced(text: str, *, fence: str, label: str) -> str:
    """Untrusted text between marks that it cannot write itself, since it cannot know the fence."""
    inside = clean(text).replace(fence, "")
    label = " ".join(label.replace(fence, "").split())
    return f"<data {fence} {label}>\n{inside}\n</data {fence}>"


def trimmed(text: str, characters: int) -> str:
    """The text's beginning and end, at most so many characters, with a mark where some are gone."""
    if len(text) <= characters:
        return text
    room = characters - len(TRIMMED)
    if room <= 0:
        return text[: max(0, characters)]
    head = room * 2 // 3
    tail = room - head
    return text[:head] + TRIMMED + (text[-tail:] if tail else "")


def shared_out(texts: Sequence[str], characters: int) -> list[str]:
    """The texts trimmed to so many characters together: the longest give way first."""
    sizes = sorted(len(text) for text in texts)
    left, cap = characters, 0
    for position, size in enumerate(sizes):
        each = left // (len(sizes) - position)
        if size > each:
            cap = each
            break
        cap, left = size, left - size
    return [trimmed(text, cap) for text in texts]


def turns_text(turns: Sequence[Sequence[str]], characters: int) -> str:
    """Earlier questions and answers, the latest ones that fit, oldest first."""
    kept: list[str] = []
    for question, answer in reversed(turns):
        turn = f"Question: {question}\nAnswer: {answer}"
        characters -= len(turn)
        if characters < 0:
            break
        kept.append(turn)
    return "\n".join(reversed(kept))
