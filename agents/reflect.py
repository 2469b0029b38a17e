"""Reflection: an answer is judged against a rubric, and revised while it falls short."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from langgraph.constants import END, START

from ragkit.agents.agent import Agent, AgentGraph, check_worker, hand_over
from ragkit.agents.budget import Amount, minus, part
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.evidence import earlier, evidence_room, fenced, fit_evidence
from ragkit.agents.final_answer import conclude, evidence_of
from ragkit.agents.model_call import ModelRequest, ask
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.state import AgentState, Update
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import Json
from ragkit.grammar import Grammar, json_grammar
from ragkit.grammar.schema.composition import object_schema

PROMPTS = ("critique", "judged", "revise", "missed", "again", "untrusted")

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
    use_tools: bool = False,
    **options: Unpack[AgentOptions],
) -> Agent:
    """Make an agent whose answers are judged by a rubric and revised at most `revisions` times.

    Args:
        agent: The agent that answers first; its results of tools are the evidence.
        rubric: A criterion, or several.
        llm: The model that judges and revises.
        revisions: Revisions at most. The answer that meets most criteria counts.
        use_tools: Whether a revision is a run of the agent, which may call its tools again, instead
            of one call of `llm`.
        options: See `AgentOptions`; of the budget, the agent gets all but the part held for this.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: There is no criterion.
    """
    at_least(0, revisions=revisions)
    criteria = [rubric] if isinstance(rubric, str) else list(rubric)
    if not any(criterion.strip() for criterion in criteria):
        raise InputError(f"A rubric needs at least one criterion, got {rubric!r}.")
    context = agent_context("reflect", llm, tools=[], prompts=PROMPTS, options=options)
    check_worker(agent, str(agent.name), budget=context.budget)
    pattern = Reflection(
        context=context,
        agent=agent,
        criteria=tuple(criteria),
        grammar=critique_grammar(len(criteria)),
        revisions=revisions,
        use_tools=use_tools,
    )
    return pattern.graph().finish(options)


def critique_grammar(criteria: int) -> Grammar[Any]:
    """Return the grammar of a reason and a verdict for each criterion, then advice."""
    verdict = object_schema(reason={"type": "string"}, met={"type": "boolean"})
    verdicts: dict[str, Json] = {
        "type": "array",
        "items": verdict,
        "minItems": criteria,
        "maxItems": criteria,
    }
    return json_grammar(object_schema(criteria=verdicts, advice={"type": "string"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflection:
    """The nodes of an agent that judges and revises the answers of another."""

    context: AgentContext
    agent: Agent
    criteria: tuple[str, ...]
    grammar: Grammar[Any]
    revisions: int
    use_tools: bool = False

    def graph(self) -> AgentGraph:
        """Return the graph: an attempt, then critique and revision in turns."""
        graph = AgentGraph(self.context, ReflectState)
        graph.node("start", self.start)
        graph.node("attempt", self.attempt, runs=[self.agent])
        graph.node("critique", self.critique)
        graph.node("revise", self.revise, runs=[self.agent] if self.use_tools else [])
        graph.node("close", self.close)
        graph.add_edge(START, "start")
        graph.add_edge("start", "attempt")
        graph.branch("attempt", self.after_answer, ["critique", "close"])
        graph.branch("critique", self.after_critique, ["revise", "close"])
        graph.branch("revise", self.after_answer, ["critique", "close"])
        graph.add_edge("close", END)
        return graph

    async def start(self, state: ReflectState) -> Update:
        """Clear the values of an earlier question."""
        turn = self.context.begin(state)
        return turn.update(draft="", best="", met=-1, advice="", revisions=0)

    async def attempt(self, state: ReflectState) -> Update:
        """Have the agent answer, within the budget beside the part for critique and revision."""
        turn = self.context.turn(state)
        step, limits = turn.note("attempt", turn.question), turn.limits
        steps = min(1 + 2 * self.revisions, part(limits, 0.5).steps)
        held = replace(part(limits, _HELD), steps=steps)
        inherited = turn.inherited(step, minus(turn.left, held), tainted=turn.tainted)
        output = await hand_over(self.agent, turn.question, inherited, earlier=turn.earlier)
        turn.take(output)
        answer = output.get("answer", "")
        stopped = output.get("stopped_by", "finished")
        return turn.update(draft=answer, best=answer, tainted=True, stopped_by=stopped)

    async def critique(self, state: ReflectState) -> Update:
        """Judge the draft by each criterion."""
        turn, prompts = self.context.turn(state), self.context.prompts
        rubric = "\n".join(f"{number}. {text}" for number, text in enumerate(self.criteria, 1))
        request = ModelRequest(
            name="critique",
            messages=[
                prompts.system("critique", rubric=rubric),
                prompts.user("judged", **await self._places(turn)),
            ],
            grammar=self.grammar,
            max_tokens=self.context.reply_tokens,
            final=True,
        )
        said = await ask(turn, request)
        if said.value is None:
            return turn.update(stopped_by=said.stopped_by or "model")
        # `Any`: the value of a JSON Schema.
        verdicts: list[Any] = said.value["criteria"]
        met = sum(bool(one["met"]) for one in verdicts)
        missed = [
            f"{number}. {one['reason']}" for number, one in enumerate(verdicts, 1) if not one["met"]
        ]
        changes: Update = {"advice": "\n".join([*missed, said.value["advice"]])}
        if met > state.get("met", -1):
            changes |= {"met": met, "best": state.get("draft", "")}
        return turn.update(**changes)

    async def revise(self, state: ReflectState) -> Update:
        """Rewrite the draft by the critique, or have the agent answer again with it."""
        if self.use_tools:
            return await self._answer_again(state)
        turn, prompts = self.context.turn(state), self.context.prompts
        advice = fenced(state.get("advice", ""), fence=turn.fence, label="critique")
        request: ModelRequest[object] = ModelRequest(
            name="revise",
            messages=[
                prompts.system("revise"),
                prompts.user("missed", **await self._places(turn), critique=advice),
            ],
            max_tokens=self.context.answer_tokens,
            final=True,
        )
        said = await ask(turn, request)
        revised = state.get("revisions", 0) + 1
        if said.stopped_by or said.cut or not said.text.strip():
            stopped = said.stopped_by or ("length" if said.cut else "model")
            return turn.update(stopped_by=stopped, revisions=revised)
        return turn.update(draft=said.text.strip(), revisions=revised)

    async def _answer_again(self, state: ReflectState) -> Update:
        turn, revised = self.context.turn(state), state.get("revisions", 0) + 1
        step = turn.note("revise", state.get("advice", ""))
        left = minus(turn.left, Amount(steps=1, tokens=0, seconds=0, cost=0))  # for a critique
        limits = part(left, 1 / (1 + self.revisions - state.get("revisions", 0)))
        known = [*evidence_of(turn), ("answer", state.get("draft", ""))]
        known.append(("critique", state.get("advice", "")))
        inherited = turn.inherited(step, limits, tainted=True, background=known)
        question = self.context.prompts.fill("again", question=turn.question)
        output = await hand_over(self.agent, question, inherited, earlier=turn.earlier)
        turn.take(output)
        stopped, text = output.get("stopped_by", "finished"), output.get("answer", "").strip()
        if stopped != "finished" or not text:
            return turn.update(stopped_by=stopped, revisions=revised)
        return turn.update(draft=text, revisions=revised)

    async def close(self, state: ReflectState) -> Update:
        """Give the answer that met most criteria."""
        turn = self.context.turn(state)
        best = state.get("best") or state.get("draft", "")
        return await conclude(turn, best, turn.stopped_by, step="", evidence=evidence_of(turn))

    async def after_answer(self, state: ReflectState) -> str:
        """Return the node after a draft."""
        return "critique" if state.get("stopped_by", "finished") == "finished" else "close"

    async def after_critique(self, state: ReflectState) -> str:
        """Return the node after a critique."""
        good = state.get("met", 0) == len(self.criteria)
        over = state.get("revisions", 0) >= self.revisions
        stopped = state.get("stopped_by", "finished") != "finished"
        return "close" if good or over or stopped else "revise"

    async def _places(self, turn: AgentTurn[ReflectState]) -> dict[str, str]:
        """Return the values of both prompts; evidence and answer stand between fences."""
        room = await evidence_room(self.context)
        return {
            "turns": earlier(turn),
            "fence": turn.fence,
            "question": turn.question,
            "evidence": fit_evidence(turn, evidence_of(turn), tokens=room) or "None.",
            "answer": fenced(turn.state.get("draft", ""), fence=turn.fence, label="answer"),
        }
