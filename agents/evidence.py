"""The texts that a prompt shows: results, tools, earlier messages, within room and fences."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ragkit.agents.budget import described
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.state import clean, dumped
from ragkit.core.protocols import Tool
from ragkit.core.types import Message
from ragkit.grammar.ebnf.expression import UNBOUNDED

Evidence: TypeAlias = Sequence[tuple[str, str]]
"""Labels with texts."""

TRIMMED = "\n[... trimmed ...]\n"

_CHARS_PER_TOKEN = 3
_SHARE_OF_CONTEXT = 3
_EARLIER_CHARS = 4000
_LEAST_EARLIER = 200
_DESCRIBED_BELOW = "described by its server, in a data mark before the question."


async def first_question(turn: AgentTurn, tools: Iterable[Tool]) -> Message:
    """Return the question as an agent is asked it first, with what is known from before."""
    room = await evidence_room(turn.context)
    shown = fit_evidence(turn, turn.background, tokens=room)
    return turn.context.prompts.user(
        "question",
        turns=untrusted_descriptions(turn, tools) + earlier(turn),
        background=f"Known so far:\n{shown}\n\n" if shown else "",
        fence=turn.fence,
        question=turn.question,
        left=described(turn.left),
    )


def earlier(turn: AgentTurn) -> str:
    """Return the latest messages from before the run, as a prompt shows them.

    They share the room, so that one long answer leaves the others readable: the longest are shown
    in part. Untrusted ones stand between fences.
    """
    kept: list[str] = []
    latest = turn.earlier[-(_EARLIER_CHARS // _LEAST_EARLIER) :]
    shared = shared_out([message.text for message in latest], _EARLIER_CHARS)
    for message, part in zip(latest, shared, strict=True):
        text = part
        if message.untrusted:
            label = f"answer of {message.author}" if message.author else "answer"
            text = fenced(text, fence=turn.fence, label=label)
        kept.append(f"{message.role.capitalize()}: {text}")
    return "Earlier in this conversation:\n{}\n\n".format("\n".join(kept)) if kept else ""


async def evidence_room(context: AgentContext) -> int:
    """Return the tokens that results may take in a prompt: a third of the model's context."""
    return min(context.evidence_tokens, await context.llm.context_tokens() // _SHARE_OF_CONTEXT)


def fit_evidence(turn: AgentTurn, evidence: Evidence, *, tokens: int) -> str:
    """Return evidence within its fences, trimmed to `tokens` by the agent's own count."""
    texts = [text for _, text in evidence]
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        shown = "\n".join(
            fenced(text, fence=turn.fence, label=label)
            for (label, _), text in zip(evidence, cut, strict=True)
            if text
        )
        if characters <= 0 or _count(turn.context, shown) <= tokens:
            return shown
        characters = characters * 2 // 3


def fit_texts(context: AgentContext, texts: Sequence[str], *, tokens: int) -> list[str]:
    """Return texts trimmed to `tokens` together, by the agent's own count."""
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        if characters <= 0 or _count(context, "".join(cut)) <= tokens:
            return cut
        characters = characters * 2 // 3


def _count(context: AgentContext, text: str) -> int:
    return context.count_tokens([Message(role="user", content=text)]) if text else 0


def tool_list(context: AgentContext, tools: Iterable[Tool]) -> str:
    """Return tools as a system message lists them: name, description, schema of the arguments.

    Untrusted texts about a tool are left to `untrusted_descriptions`.
    """
    listed = [
        f"- {tool.name}: {_DESCRIBED_BELOW if context.distrusts(tool) else _about(tool)}"
        for tool in tools
    ]
    return "\n".join([*listed, "", _limits_in_force(context)])


def _limits_in_force(context: AgentContext) -> str:
    most = f"A reply has at most {context.reply_tokens:,} tokens, all its calls together."
    characters = context.limits.string_length
    if characters >= UNBOUNDED:
        return most
    return f"{most} A text in it has at most {characters:,} characters."


def untrusted_descriptions(turn: AgentTurn, tools: Iterable[Tool]) -> str:
    """Return what untrusted sources say about their tools, between fences."""
    shown = [
        fenced(_about(tool), fence=turn.fence, label=f"description of {tool.name}")
        for tool in tools
        if turn.context.distrusts(tool)
    ]
    return (
        "Tools, as their servers describe them:\n{}\n\n".format("\n".join(shown)) if shown else ""
    )


def _about(tool: Tool) -> str:
    described = " ".join(tool.description.split())
    return f"{described}\n  arguments: {dumped(dict(tool.parameters))}"


def fenced(text: str, *, fence: str, label: str) -> str:
    """Return untrusted text between marks that it cannot write, since it cannot know the fence."""
    inside = clean(text).replace(fence, "")
    label = " ".join(label.replace(fence, "").split())
    return f"<data {fence} {label}>\n{inside}\n</data {fence}>"


def trimmed(text: str, characters: int) -> str:
    """Return the text's beginning and end, at most `characters` long, with a mark between them."""
    if len(text) <= characters:
        return text
    room = characters - len(TRIMMED)
    if room <= len(TRIMMED):  # the mark would say more than the text around it
        return text[: max(0, characters)]
    head = room * 2 // 3
    tail = room - head
    return text[:head] + TRIMMED + (text[-tail:] if tail else "")


def shared_out(texts: Sequence[str], characters: int) -> list[str]:
    """Return the texts trimmed to `characters` together: the longest are cut first."""
    sizes = sorted(len(text) for text in texts)
    left, cap = characters, 0
    for position, size in enumerate(sizes):
        each = left // (len(sizes) - position)
        if size > each:
            cap = each
            break
        cap, left = size, left - size
    return [trimmed(text, cap) for text in texts]
