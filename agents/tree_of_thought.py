"""Tree of thought: steps of thought are proposed, rated, and the best ones followed.

After Yao et al., Tree of Thoughts (2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from langgraph.constants import END, START

from ragkit.agents.agent import Agent, AgentGraph
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.evidence import earlier
from ragkit.agents.final_answer import conclude, without_model
from ragkit.agents.model_call import ModelRequest, ask, show_answer
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.self_consistency import TEMPERATURE
from ragkit.agents.state import AgentState, Update
from ragkit.core.protocols import LLM
from ragkit.core.types import Json, Message
from ragkit.grammar import Grammar, json_grammar
from ragkit.grammar.schema.composition import object_schema

PROMPTS = ("propose", "rate", "conclude", "thoughts", "untrusted")


class TreeState(AgentState, total=False):
    """`paths` are the lines of thought that are kept, best first."""

    paths: list[list[str]]
    depth: int


def tree_of_thought(
    llm: LLM, *, width: int = 3, keep: int = 2, depth: int = 2, **options: Unpack[AgentOptions]
) -> Agent:
    """Make an agent that proposes steps of thought, rates them, follows the best, and answers.

    Args:
        llm: The model.
        width: Next steps that are proposed for each line of thought.
        keep: Lines of thought that are kept after each rating.
        depth: Steps of a line of thought.
        options: See `AgentOptions`.
    """
    at_least(1, width=width, keep=keep, depth=depth)
    context = agent_context("tree_of_thought", llm, tools=[], prompts=PROMPTS, options=options)
    pattern = TreeOfThought(context=context, width=width, keep=keep, depth=depth)
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOfThought:
    """The nodes of an agent that follows several lines of thought."""

    context: AgentContext
    width: int
    keep: int
    depth: int

    def graph(self) -> AgentGraph:
        """Return the graph: one round of thought for each level, then the answer."""
        graph = AgentGraph(self.context, TreeState)
        graph.node("start", self.start)
        graph.node("think", self.think)
        graph.node("conclude", self.conclude)
        graph.add_edge(START, "start")
        graph.add_edge("start", "think")
        graph.branch("think", self.after_thought, ["think", "conclude"])
        graph.add_edge("conclude", END)
        return graph

    async def start(self, state: TreeState) -> Update:
        """Begin with one empty line of thought."""
        return self.context.begin(state).update(paths=[[]], depth=0)

    async def think(self, state: TreeState) -> Update:
        """Propose steps for each line of thought, then rate them all in one call."""
        turn = self.context.turn(state)
        step: dict[str, Json] = {"type": "string", "minLength": 1}
        proposals = _list_of("thoughts", step, self.width)
        warm = "temperature" not in self.context.decoding
        found: list[list[str]] = []
        for path in state.get("paths", []):
            request = ModelRequest(
                name="propose",
                messages=_messages(turn, "propose", [path]),
                grammar=proposals,
                max_tokens=self.context.reply_tokens,
                decoding={"temperature": TEMPERATURE} if warm else {},
            )
            said = await ask(turn, request)
            if said.value is None:
                return turn.update(stopped_by=said.stopped_by or "model")
            found += [[*path, str(thought)] for thought in said.value["thoughts"]]
        rating: dict[str, Json] = {"type": "integer", "minimum": 0, "maximum": 10}
        request = ModelRequest(
            name="rate",
            messages=_messages(turn, "rate", found),
            grammar=_list_of("ratings", rating, len(found)),
            max_tokens=self.context.reply_tokens,
        )
        said = await ask(turn, request)
        if said.value is None:
            return turn.update(paths=found[: self.keep], stopped_by=said.stopped_by or "model")
        rated = sorted(zip(said.value["ratings"], found, strict=True), key=lambda pair: -pair[0])
        best = [path for _, path in rated[: self.keep]]
        return turn.update(paths=best, depth=state.get("depth", 0) + 1)

    async def after_thought(self, state: TreeState) -> str:
        """Return the node after a level."""
        stopped = state.get("stopped_by", "finished") != "finished"
        return "conclude" if stopped or state.get("depth", 0) >= self.depth else "think"

    async def conclude(self, state: TreeState) -> Update:
        """Answer from the best line of thought."""
        turn = self.context.turn(state)
        best = (state.get("paths") or [[]])[0]
        stopped = turn.stopped_by
        request: ModelRequest[object] = ModelRequest(
            name="conclude",
            messages=_messages(turn, "conclude", [best]),
            max_tokens=self.context.answer_tokens,
            final=True,
            show=show_answer,
        )
        said = await ask(turn, request)
        if stopped == "finished":
            stopped = said.stopped_by or ("length" if said.cut else stopped)
        text = said.text.strip() or without_model(
            [("thought", thought) for thought in best], f"stopped by {stopped}"
        )
        return await conclude(turn, text, stopped, step=said.step)


def _messages(
    turn: AgentTurn[TreeState], name: str, paths: Sequence[Sequence[str]]
) -> list[Message]:
    """Return the prompt of this name with lines of thought, numbered where there are several."""
    if len(paths) == 1:
        shown = "Thoughts so far:\n" + ("\n".join(paths[0]) or "None yet.")
    else:
        numbered = (f"{number}. {' '.join(path)}" for number, path in enumerate(paths, 1))
        shown = "Lines of thought:\n" + "\n".join(numbered)
    prompts = turn.context.prompts
    # Without earlier messages nothing is random: equal questions have equal prompts.
    before = earlier(turn)
    marks = f"The code of data marks is {turn.fence}.\n" if before else ""
    asked = prompts.user("thoughts", turns=before + marks, question=turn.question, thoughts=shown)
    return [prompts.system(name), asked]


def _list_of(name: str, item: dict[str, Json], count: int) -> Grammar[Any]:
    items: dict[str, Json] = {"type": "array", "items": item, "minItems": count, "maxItems": count}
    return json_grammar(object_schema(**{name: items}))
