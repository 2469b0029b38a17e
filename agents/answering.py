"""The last call of a run: an answer from the evidence, or the evidence itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ragkit.agents.asking import Question, ask, show_answer
from ragkit.agents.budget import described, left_of
from ragkit.agents.parts import Parts
from ragkit.agents.prompting import fenced, shared_out, turns_text
from ragkit.agents.state import AgentState, Draft, Record, StoppedBy, Update
from ragkit.core.types import Message

Evidence: TypeAlias = Sequence[tuple[str, str]]
"""Labels with texts."""

PROMPTS = ("solve", "evidence", "untrusted")
TURN_CHARS = 4000

_CHARS_PER_TOKEN = 3
_LEAST_EVIDENCE = 200
_SHOWN_CHARS = 2000
_SHARE_OF_CONTEXT = 3
_WHY: Mapping[StoppedBy, str] = {
    "steps": "the steps of its budget are used up",
    "tokens": "the tokens of its budget are used up",
    "seconds": "its time is over",
    "cost": "its budget is spent",
    "context": "the conversation does not fit the model's context",
    "repeats": "the same call gave the same result again and again",
    "model": "the model could not be reached",
}


def evidence_of(draft: Draft, background: Iterable[Sequence[str]] = ()) -> list[tuple[str, str]]:
    """What tools gave so far, each text once, after what the agent was given at first."""
    found = {text: label for label, text in reversed([tuple(item) for item in background])}
    ordered = [(label, text) for text, label in reversed(found.items())]
    seen = set(found)
    for record in draft.trace:
        if record["kind"] != "tool" or record.get("failed"):
            continue
        text = draft.texts[record.get("result", "")]
        if text not in seen:
            seen.add(text)
            ordered.append((f"{record['name']} {record['id']}", text))
    return ordered


def background_of(state: AgentState) -> list[list[str]]:
    """What a parent agent gave."""
    inherited = state.get("inherited")
    return inherited["background"] if inherited else []


def citations_of(trace: Iterable[Record]) -> list[dict[str, Any]]:
    """The passages that tools' results came from, each once."""
    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for record in trace:
        for citation in record.get("citations", []):
            found.setdefault(tuple(citation.values()), citation)
    return list(found.values())


async def answer(
    parts: Parts,
    draft: Draft,
    state: AgentState,
    *,
    evidence: Evidence,
    stopped_by: StoppedBy,
) -> Update:
    """Write the answer with the call that was held back, or give the evidence without one."""
    why = _WHY.get(stopped_by, "")
    said_why = f"\nThe search ended early: {why}. Say so in the answer.\n" if why else ""
    reason = stopped_by
    text = ""
    if stopped_by != "model":
        left = left_of(parts.limits(state), draft.spent)
        room = await _room(parts, draft, state, tokens=left.tokens, why=said_why)
        question: Question[object] = Question(
            name="solve",
            messages=_messages(parts, draft, state, evidence, said_why, room),
            left=left,
            reply=parts.answer_tokens,
            show=show_answer,
        )
        said = await ask(parts, draft, question)
        text = said.text.strip()
        if said.stopped_by and reason == "finished":
            reason = said.stopped_by
    if not text:
        text = without_model(evidence, _WHY.get(reason, "the model said nothing"))
    return ended(draft, state, text=text, stopped_by=reason)


def ended(draft: Draft, state: AgentState, *, text: str, stopped_by: StoppedBy) -> Update:
    """The update that ends a run with this answer."""
    turns = [*state.get("turns", []), [state["question"], text]]
    return draft.update(
        answer=text,
        citations=citations_of(draft.trace),
        stopped_by=stopped_by,
        turns=turns,
    )


def without_model(evidence: Evidence, why: str) -> str:
    """An answer that only shows the evidence."""
    if not evidence:
        return f"There is no answer: {why}, and nothing was found before."
    texts = shared_out([text for _, text in evidence], _SHOWN_CHARS)
    lines = "\n".join(
        f"- {label}: {text}" for (label, _), text in zip(evidence, texts, strict=True) if text
    )
    return f"There is no written answer: {why}. What was found:\n{lines}"


async def _room(parts: Parts, draft: Draft, state: AgentState, *, tokens: float, why: str) -> int:
    """Tokens that the evidence may take."""
    bare = parts.count_tokens(_messages(parts, draft, state, [], why, 0))
    context = await parts.llm.context_tokens()
    scale = draft.spent["scale"]
    rooms = (tokens, float(context))
    rest = min(rooms) / scale - bare - parts.answer_tokens / scale
    return max(_LEAST_EVIDENCE, min(parts.evidence_tokens, int(rest)))


def _messages(
    parts: Parts, draft: Draft, state: AgentState, evidence: Evidence, why: str, tokens: int
) -> list[Message]:
    shown = fit_evidence(parts, evidence, tokens=tokens, fence=draft.fence)
    return [
        parts.prompts.system("solve"),
        parts.prompts.user(
            "evidence",
            turns=earlier(state),
            fence=draft.fence,
            question=state["question"],
            evidence=shown or "None.",
            why=why,
        ),
    ]


def fit_evidence(parts: Parts, evidence: Evidence, *, tokens: int, fence: str) -> str:
    """Evidence within its fences, trimmed to so many tokens by the agent's own count."""
    texts = [text for _, text in evidence]
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        shown = "\n".join(
            fenced(text, fence=fence, label=label)
            for (label, _), text in zip(evidence, cut, strict=True)
            if text
        )
        if characters <= 0 or _count(parts, shown) <= tokens:
            return shown
        characters = characters * 2 // 3


def cut_to(parts: Parts, texts: Sequence[str], tokens: int) -> list[str]:
    """Texts trimmed to so many tokens together, by the agent's own count."""
    characters = min(sum(map(len, texts)), tokens * _CHARS_PER_TOKEN)
    while True:
        cut = shared_out(texts, characters)
        if characters <= 0 or _count(parts, "".join(cut)) <= tokens:
            return cut
        characters = characters * 2 // 3


def _count(parts: Parts, text: str) -> int:
    return parts.count_tokens([Message(role="user", content=text)]) if text else 0


def earlier(state: AgentState) -> str:
    """Earlier questions of the thread with their answers, as a prompt begins with them."""
    text = turns_text(state.get("turns", []), TURN_CHARS)
    return f"Earlier in this conversation:\n{text}\n\n" if text else ""


async def evidence_room(parts: Parts) -> int:
    """Tokens that results may take in a prompt: a third of the model's context at most."""
    return min(parts.evidence_tokens, await parts.llm.context_tokens() // _SHARE_OF_CONTEXT)


async def first_question(parts: Parts, draft: Draft, state: AgentState) -> Message:
    """The question as an agent is asked it first, with what is known from before."""
    room = await evidence_room(parts)
    background = evidence_of(Draft({"question": ""}), background_of(state))
    shown = fit_evidence(parts, background, tokens=room, fence=draft.fence)
    return parts.prompts.user(
        "question",
        turns=earlier(state),
        background=f"Known so far:\n{shown}\n\n" if shown else "",
        fence=draft.fence,
        question=state["question"],
        left=described(left_of(parts.limits(state), draft.spent)),
    )
