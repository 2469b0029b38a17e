"""Short-term memory: a conversation kept within a number of tokens, oldest results first to go."""

from collections.abc import Sequence

from ragkit.agents.asking import Question, ask
from ragkit.agents.budget import left_of, minus
from ragkit.agents.events import Noticed, emit
from ragkit.agents.parts import Parts
from ragkit.agents.prompting import fenced
from ragkit.agents.state import AgentState, Draft, Record
from ragkit.core.types import Message

PROMPTS = ("summarise", "summary")

_HEAD = 2
_LATEST = 2
_LEFT_OUT = "(Left out to save room.)"
_SUMMARY_TOKENS = 400


def too_long(parts: Parts, messages: Sequence[Message], tokens: int) -> bool:
    """Whether the conversation has more tokens than that."""
    return parts.count_tokens(list(messages)) > tokens


async def shortened(
    parts: Parts,
    draft: Draft,
    state: AgentState,
    messages: list[Message],
    *,
    tokens: int,
    summarise: bool,
) -> list[Message]:
    """The conversation within so many tokens, at half of them if anything has to go.

    The system message, the question and the latest turn stay; of the turns before, the results are
    left out, oldest first, or all are replaced by a summary that the model writes.
    """
    if not too_long(parts, messages, tokens):
        return messages
    middle = messages[_HEAD : len(messages) - _LATEST]
    if not middle:
        return messages
    summary = await _summary(parts, draft, state, middle, tokens) if summarise else ""
    if summary:
        kept = [*messages[:_HEAD], *_as_turn(summary, draft), *messages[-_LATEST:]]
    else:
        kept = _without_results(parts, messages, tokens // 2)
    text = f"{len(messages)} messages were shortened to save room."
    step = draft.next_step()
    draft.add(Record(id=step, kind="note", name="memory", result=draft.keep(text)))
    emit(Noticed(step=step, text=text))
    return kept


def _without_results(parts: Parts, messages: list[Message], tokens: int) -> list[Message]:
    kept = list(messages)
    for position in range(_HEAD, len(messages) - _LATEST):
        if not too_long(parts, kept, tokens):
            break
        if kept[position].role == "user":
            kept[position] = Message(role="user", content=_LEFT_OUT)
    return kept


def _as_turn(summary: str, draft: Draft) -> list[Message]:
    text = fenced(summary, fence=draft.fence, label="summary of earlier turns")
    return [
        Message(role="assistant", content=_LEFT_OUT),
        Message(role="user", content=text),
    ]


async def _summary(
    parts: Parts, draft: Draft, state: AgentState, middle: list[Message], tokens: int
) -> str:
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    characters = tokens * 2
    seen = "\n".join(message.content for message in middle)[-characters:]
    question: Question[object] = Question(
        name="summarise",
        messages=[
            parts.prompts.system("summarise"),
            parts.prompts.user(
                "summary",
                fence=draft.fence,
                question=state["question"],
                seen=fenced(seen, fence=draft.fence, label="turns"),
            ),
        ],
        left=left,
        reply=_SUMMARY_TOKENS,
    )
    said = await ask(parts, draft, question)
    return said.text.strip()
