"""The last call of a run: an answer from the evidence, or the evidence itself."""

from collections.abc import Mapping

from ragkit.agents.context import AgentTurn
from ragkit.agents.events import AnswerText
from ragkit.agents.evidence import Evidence, earlier, fit_evidence, shared_out
from ragkit.agents.model_call import ModelRequest, ask, show_answer
from ragkit.agents.state import StoppedBy, Update, loaded
from ragkit.core.types import Json, Message

PROMPTS = ("solve", "evidence", "untrusted")

_LEAST_EVIDENCE = 200
_SHOWN_CHARS = 2000
_WHY: Mapping[StoppedBy, str] = {
    "steps": "the steps of its budget are used up",
    "tokens": "the tokens of its budget are used up",
    "seconds": "its time is over",
    "cost": "its budget is spent",
    "context": "the conversation does not fit the model's context",
    "repeats": "the same call gave the same result again and again",
    "model": "the model could not be reached",
}


def evidence_of(turn: AgentTurn) -> list[tuple[str, str]]:
    """Return the results of tools so far, each text once and labelled, and `edits_of` the run."""
    found: dict[str, str] = {}
    for record in turn.trace:
        if record["kind"] == "tool" and not record.get("failed"):
            text = turn.texts[record.get("result", "")]
            found.setdefault(text, f"{record['name']} {record['id']}")
    return [*edits_of(turn), *((label, text) for text, label in found.items())]


def edits_of(turn: AgentTurn) -> list[tuple[str, str]]:
    """Return the arguments that a person set in calls so far, labelled."""
    return [
        (f"arguments of {record['name']} {record['id']}, as a person set them", given)
        for record in turn.trace
        if record.get("edited") and (given := record.get("arguments"))
    ]


async def conclude(
    turn: AgentTurn, text: str, stopped_by: StoppedBy, *, step: str, evidence: Evidence = ()
) -> Update:
    """End a run with this answer; where `output` asks for another form, write it from the answer.

    Args:
        turn: The node's turn.
        text: The answer.
        stopped_by: Why the run ends.
        step: The step that wrote and showed it; empty for one that was chosen afterwards, which is
            shown now.
        evidence: The texts that the answer rests on.
    """
    if turn.context.output is None:
        if text and not step and not turn.path:
            turn.emit(AnswerText(text=text))
        return await turn.end(text, stopped_by, step=step)
    return await answer(turn, [*evidence, ("answer", text)])


async def answer(turn: AgentTurn, evidence: Evidence) -> Update:
    """Write the answer with the call that was held back, or give the evidence without one."""
    reason, context = turn.stopped_by, turn.context
    why = _WHY.get(reason, "")
    said_why = f"\nThe search ended early: {why}. Say so in the answer.\n" if why else ""
    text = step = ""
    structured: Json = None
    if reason != "model":
        room = await _room(turn, said_why)
        request: ModelRequest[object] = ModelRequest(
            name="solve",
            messages=_messages(turn, fit_evidence(turn, evidence, tokens=room), said_why),
            max_tokens=context.final_tokens,
            grammar=context.output,
            final=True,
            show=show_answer,
        )
        said = await ask(turn, request)
        text, step = said.text.strip(), said.step
        if reason == "finished":
            reason = said.stopped_by or ("length" if said.cut else reason)
        if context.output is not None:
            text = text if said.value is not None else ""
            structured = loaded(text) if text else None
    if not text:
        text, step = without_model(evidence, _WHY.get(reason, "the model said nothing")), ""
    return await turn.end(text, reason, step=step, structured=structured)


def without_model(evidence: Evidence, why: str) -> str:
    """Return an answer that only shows the evidence."""
    if not evidence:
        return f"There is no answer: {why}, and nothing was found before."
    texts = shared_out([text for _, text in evidence], _SHOWN_CHARS)
    lines = "\n".join(
        f"- {label}: {text}" for (label, _), text in zip(evidence, texts, strict=True) if text
    )
    return f"There is no written answer: {why}. What was found:\n{lines}"


async def _room(turn: AgentTurn, why: str) -> int:
    """Return the tokens that the evidence may take."""
    context = turn.context
    bare = context.count_tokens(_messages(turn, "", why))
    scale = turn.spent["scale"]
    rest = min(turn.left.tokens, float(await context.llm.context_tokens())) / scale
    rest -= bare + context.final_tokens / scale
    return max(_LEAST_EVIDENCE, min(context.evidence_tokens, int(rest)))


def _messages(turn: AgentTurn, shown: str, why: str) -> list[Message]:
    prompts = turn.context.prompts
    asked = prompts.user(
        "evidence",
        turns=earlier(turn),
        fence=turn.fence,
        question=turn.question,
        evidence=shown or "None.",
        why=why,
    )
    return [prompts.system("solve"), asked]
