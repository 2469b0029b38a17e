"""Reflection: an answer is judged against a rubric, and revised while it falls short."""

from collections.abc import Sequence
from typing import Any, Unpack, cast

from langgraph.constants import END, START

from ragkit.agents.answering import ended, evidence_of, evidence_room, fit_evidence
from ragkit.agents.asking import Question, Said, ask, show_answer
from ragkit.agents.budget import Amount, left_of, minus
from ragkit.agents.handover import Task, hand_over
from ragkit.agents.parts import Agent, AgentOptions, Graph, Parts, agent_graph, finished
from ragkit.agents.prompting import fenced
from ragkit.agents.starting import start
from ragkit.agents.state import AgentState, Draft, Record, Update
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import Json
from ragkit.grammar import Grammar, json_grammar

PROMPTS = ("critique", "judged", "revise", "missed", "untrusted")

_HELD = 0.3


class ReflectState(AgentState, total=False):
    """`draft` is the latest answer, `best` the one that met most criteria so far (`met`)."""

    draft: str
    best: str
    met: int
    advice: str
    revisions: int


def reflect(
    agent: Agent,
    rubric: str | Sequence[str],
    *,
    llm: LLM,
    revisions: int = 2,
    **options: Unpack[AgentOptions],
) -> Agent:
    """An agent whose answers are judged by a rubric and revised at most so many times.

    Args:
        agent: Who answers first; its results of tools are the evidence.
        rubric: A criterion, or several.
        llm: The model that judges and revises.
        revisions: How often an answer is revised at most. The one that meets most criteria counts.
        options: See `AgentOptions`; of the budget, the agent gets all but what is held for this.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: There is no criterion.
    """
    criteria = [rubric] if isinstance(rubric, str) else list(rubric)
    if not any(criterion.strip() for criterion in criteria):
        raise InputError(f"A rubric needs at least one criterion, got {rubric!r}.")
    parts = Parts.of(llm, [], PROMPTS, options)
    graph = _graph(agent, parts, criteria, revisions)
    return finished(graph, parts, pattern="reflect", options=options)


def critique_grammar(criteria: int) -> Grammar[Any]:
    """The grammar of a reason and a verdict for each criterion, then advice."""
    verdict: dict[str, Json] = {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "met": {"type": "boolean"}},
        "required": ["reason", "met"],
        "additionalProperties": False,
    }
    return json_grammar(
        {
            "type": "object",
            "properties": {
                "criteria": {
                    "type": "array",
                    "items": verdict,
                    "minItems": criteria,
                    "maxItems": criteria,
                },
                "advice": {"type": "string"},
            },
            "required": ["criteria", "advice"],
            "additionalProperties": False,
        }
    )


def _graph(agent: Agent, parts: Parts, criteria: list[str], revisions: int) -> Graph:
    grammar = critique_grammar(len(criteria))
    rubric = "\n".join(f"{number}. {text}" for number, text in enumerate(criteria, 1))

    async def begin(state: ReflectState) -> Update:
        fresh = {"draft": "", "best": "", "met": -1, "advice": "", "revisions": 0}
        update = start(state)
        draft = Draft(cast("ReflectState", {**state, **update}))
        return {**update, **fresh, **draft.first()}

    async def attempt(state: ReflectState) -> Update:
        return await _attempt(agent, parts, state, revisions)

    async def critique(state: ReflectState) -> Update:
        return await _critique(parts, state, grammar, rubric)

    async def revise(state: ReflectState) -> Update:
        return await _revise(parts, state)

    async def close(state: ReflectState) -> Update:
        stopped = state.get("stopped_by", "finished")
        text = state.get("best") or state.get("draft", "")
        return ended(Draft(state), state, text=text, stopped_by=stopped)

    async def after_critique(state: ReflectState) -> str:
        good = state.get("met", 0) == len(criteria)
        over = state.get("revisions", 0) >= revisions
        stopped = state.get("stopped_by", "finished") != "finished"
        return "close" if good or over or stopped else "revise"

    async def after_revision(state: ReflectState) -> str:
        return "critique" if state.get("stopped_by", "finished") == "finished" else "close"

    graph = agent_graph(ReflectState)
    for name, node in {"attempt": attempt, "critique": critique, "revise": revise}.items():
        graph.add_node(name, node)
    graph.add_node("start", begin)
    graph.add_node("close", close)
    graph.add_edge(START, "start")
    graph.add_edge("start", "attempt")
    graph.add_conditional_edges("attempt", after_revision, ["critique", "close"])
    graph.add_conditional_edges("critique", after_critique, ["revise", "close"])
    graph.add_conditional_edges("revise", after_revision, ["critique", "close"])
    graph.add_edge("close", END)
    return graph


async def _attempt(agent: Agent, parts: Parts, state: ReflectState, revisions: int) -> Update:
    draft = Draft(state)
    step = draft.next_step()
    draft.add(Record(id=step, kind="note", name="attempt", result=draft.keep(state["question"])))
    limits = parts.limits(state)
    held = Amount(
        steps=min(1 + 2 * revisions, limits.steps // 2),
        tokens=limits.tokens * _HELD,
        seconds=limits.seconds * _HELD,
        cost=limits.cost * _HELD,
    )
    task = Task(
        question=state["question"],
        step=step,
        limits=minus(left_of(limits, draft.spent), held),
        tainted=state.get("tainted", False),
    )
    output = await hand_over(agent, draft, task)
    answer = output.get("answer", "")
    stopped = output.get("stopped_by", "finished")
    return draft.update(draft=answer, best=answer, tainted=True, stopped_by=stopped)


async def _critique(
    parts: Parts, state: ReflectState, grammar: Grammar[Any], rubric: str
) -> Update:
    draft = Draft(state)
    text = state.get("draft", "")
    messages = [
        parts.prompts.system("critique", rubric=rubric),
        parts.prompts.user("judged", **await _places(parts, draft, state)),
    ]
    said = await ask(
        parts,
        draft,
        Question(
            name="critique",
            messages=messages,
            grammar=grammar,
            left=left_of(parts.limits(state), draft.spent),
            reply=parts.reply_tokens,
        ),
    )
    if said.value is None:
        return draft.update(stopped_by=said.stopped_by or "model")
    # `Any`: the value of a JSON Schema.
    verdicts: list[Any] = said.value["criteria"]
    met = sum(bool(one["met"]) for one in verdicts)
    missed = [
        f"{number}. {one['reason']}" for number, one in enumerate(verdicts, 1) if not one["met"]
    ]
    changes: Update = {"advice": "\n".join([*missed, said.value["advice"]])}
    if met > state.get("met", -1):
        changes |= {"met": met, "best": text}
    return draft.update(**changes)


async def _revise(parts: Parts, state: ReflectState) -> Update:
    draft = Draft(state)
    advice = fenced(state.get("advice", ""), fence=draft.fence, label="critique")
    messages = [
        parts.prompts.system("revise"),
        parts.prompts.user("missed", **await _places(parts, draft, state), critique=advice),
    ]
    said: Said[object] = await ask(
        parts,
        draft,
        Question(
            name="revise",
            messages=messages,
            left=left_of(parts.limits(state), draft.spent),
            reply=parts.answer_tokens,
            show=show_answer,
        ),
    )
    revised = state.get("revisions", 0) + 1
    if said.stopped_by or not said.text.strip():
        return draft.update(stopped_by=said.stopped_by or "model", revisions=revised)
    return draft.update(draft=said.text.strip(), revisions=revised)


async def _places(parts: Parts, draft: Draft, state: ReflectState) -> dict[str, str]:
    """What both prompts show: the question, the evidence and the answer, the latter two as data."""
    evidence = evidence_of(draft)
    shown = fit_evidence(parts, evidence, tokens=await evidence_room(parts), fence=draft.fence)
    return {
        "fence": draft.fence,
        "question": state["question"],
        "evidence": shown or "None.",
        "answer": fenced(state.get("draft", ""), fence=draft.fence, label="answer"),
    }
