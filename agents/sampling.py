"""Thinking more than once: self-consistency and tree of thought, as agents without tools.

After Wang et al., Self-Consistency Improves Chain of Thought Reasoning (2023), and Yao et al., Tree
of Thoughts (2023).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Unpack, cast

from langgraph.constants import END, START

from ragkit.agents.answering import ended, without_model
from ragkit.agents.asking import Question, Said, ask, show_answer
from ragkit.agents.budget import left_of, minus
from ragkit.agents.parts import Agent, AgentOptions, Parts, agent_graph, finished
from ragkit.agents.starting import start
from ragkit.agents.state import AgentState, Draft, Record, Update
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.types import Json, Message
from ragkit.grammar import Grammar, json_grammar

_WARM = 0.8


def self_consistency(llm: LLM, *, samples: int = 5, **options: Unpack[AgentOptions]) -> Agent:
    """An agent that answers several times in one call and gives the answer most often reached.

    Args:
        llm: The model.
        samples: How often it answers; at temperature 0.8 where `decoding` says nothing else.
        options: See `AgentOptions`.
    """
    parts = Parts.of(llm, [], ("consistent",), options)
    grammar = _object(reasoning={"type": "string"}, answer={"type": "string", "minLength": 1})

    async def sample(state: AgentState) -> Update:
        fresh = start(state)
        draft = Draft(cast("AgentState", {**state, **fresh}))
        question = Question(
            name="consistent",
            messages=[
                parts.prompts.system("consistent"),
                Message(role="user", content=state["question"]),
            ],
            grammar=grammar,
            left=left_of(parts.limits(state), draft.spent),
            reply=parts.reply_tokens,
            samples=samples,
            decoding=_decoding(parts),
        )
        said = await ask(parts, draft, question)
        text, count = _voted(grammar, said)
        if not text:
            reason = said.stopped_by or "model"
            text = without_model([], f"stopped by {reason}")
            return {**fresh, **draft.first(**ended(draft, state, text=text, stopped_by=reason))}
        note = draft.keep(f"{count} of {samples} replies say: {text}")
        draft.add(Record(id=f"{said.step}.1", kind="note", name="vote", result=note))
        return {**fresh, **draft.first(**ended(draft, state, text=text, stopped_by="finished"))}

    graph = agent_graph(AgentState)
    graph.add_node("sample", sample)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", END)
    return finished(graph, parts, pattern="self_consistency", options=options)


def _decoding(parts: Parts) -> CallOptions:
    return {} if "temperature" in parts.decoding else {"temperature": _WARM}


def _voted(grammar: Grammar[Any], said: Said[Any]) -> tuple[str, int]:
    """The answer most often given, as it was first written, and how often."""
    answers: list[str] = []
    for text in (said.text, *said.alternatives) if said.value is not None else ():
        try:
            answers.append(str(grammar.parse(text)["answer"]).strip())
        except InputError:
            continue
    counts = Counter(_plain(answer) for answer in answers)
    if not counts:
        return "", 0
    winner, count = counts.most_common(1)[0]
    return next(answer for answer in answers if _plain(answer) == winner), count


def _plain(answer: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in answer.casefold()).split())


class TreeState(AgentState, total=False):
    """`paths` are the lines of thought that are kept, best first."""

    paths: list[list[str]]
    depth: int


def tree_of_thought(
    llm: LLM, *, width: int = 3, keep: int = 2, depth: int = 2, **options: Unpack[AgentOptions]
) -> Agent:
    """An agent that proposes steps of thought, rates them, goes on with the best, and answers.

    Args:
        llm: The model.
        width: Next steps that are proposed for each line of thought.
        keep: Lines of thought that are kept after each rating.
        depth: Steps of a line of thought.
        options: See `AgentOptions`.
    """
    parts = Parts.of(llm, [], ("propose", "rate", "conclude", "thoughts"), options)

    async def think(state: TreeState) -> Update:
        return await _think(parts, state, width=width, keep=keep)

    async def begin(state: TreeState) -> Update:
        update = start(state)
        draft = Draft(cast("TreeState", {**state, **update}))
        return {**update, "paths": [[]], "depth": 0, **draft.first()}

    async def deep_enough(state: TreeState) -> str:
        stopped = state.get("stopped_by", "finished") != "finished"
        return "conclude" if stopped or state.get("depth", 0) >= depth else "think"

    async def conclude(state: TreeState) -> Update:
        return await _conclude(parts, state)

    graph = agent_graph(TreeState)
    graph.add_node("start", begin)
    graph.add_node("think", think)
    graph.add_node("conclude", conclude)
    graph.add_edge(START, "start")
    graph.add_edge("start", "think")
    graph.add_conditional_edges("think", deep_enough, ["think", "conclude"])
    graph.add_edge("conclude", END)
    return finished(graph, parts, pattern="tree_of_thought", options=options)


async def _think(parts: Parts, state: TreeState, *, width: int, keep: int) -> Update:
    """One level: proposals for each line of thought, then one rating of them all."""
    draft = Draft(state)
    step: dict[str, Json] = {"type": "string", "minLength": 1}
    proposals = _object(
        thoughts={"type": "array", "items": step, "minItems": width, "maxItems": width}
    )
    found: list[list[str]] = []
    for path in state.get("paths", []):
        said = await _asked(parts, draft, state, "propose", _listed([path]), proposals)
        if said.value is None:
            return draft.update(stopped_by=said.stopped_by or "model")
        found += [[*path, str(thought)] for thought in said.value["thoughts"]]
    rating: dict[str, Json] = {"type": "integer", "minimum": 0, "maximum": 10}
    count = len(found)
    ratings = _object(
        ratings={"type": "array", "items": rating, "minItems": count, "maxItems": count}
    )
    said = await _asked(parts, draft, state, "rate", _listed(found), ratings)
    if said.value is None:
        return draft.update(paths=found[:keep], stopped_by=said.stopped_by or "model")
    rated = sorted(zip(said.value["ratings"], found, strict=True), key=lambda pair: -pair[0])
    depth = state.get("depth", 0) + 1
    return draft.update(paths=[path for _, path in rated[:keep]], depth=depth)


async def _conclude(parts: Parts, state: TreeState) -> Update:
    draft = Draft(state)
    best = (state.get("paths") or [[]])[0]
    stopped = state.get("stopped_by", "finished")
    said: Said[object] = await ask(
        parts,
        draft,
        Question(
            name="conclude",
            messages=_messages(parts, state, "conclude", _listed([best])),
            left=left_of(parts.limits(state), draft.spent),
            reply=parts.answer_tokens,
            show=show_answer,
        ),
    )
    if said.stopped_by and stopped == "finished":
        stopped = said.stopped_by
    text = said.text.strip() or without_model(
        [("thought", thought) for thought in best], f"stopped by {stopped}"
    )
    return ended(draft, state, text=text, stopped_by=stopped)


async def _asked(
    parts: Parts,
    draft: Draft,
    state: TreeState,
    name: str,
    thoughts: str,
    grammar: Grammar[Any],
) -> Said[Any]:
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    decoding = _decoding(parts) if name == "propose" else None
    question = Question(
        name=name,
        messages=_messages(parts, state, name, thoughts),
        grammar=grammar,
        left=left,
        reply=parts.reply_tokens,
        decoding=decoding,
    )
    return await ask(parts, draft, question)


def _messages(parts: Parts, state: TreeState, name: str, thoughts: str) -> list[Message]:
    places = {"question": state["question"], "thoughts": thoughts}
    return [parts.prompts.system(name), parts.prompts.user("thoughts", **places)]


def _listed(paths: Sequence[Sequence[str]]) -> str:
    """Lines of thought, numbered where there are several."""
    if len(paths) == 1:
        return "Thoughts so far:\n" + ("\n".join(paths[0]) or "None yet.")
    numbered = (f"{number}. {' '.join(path)}" for number, path in enumerate(paths, 1))
    return "Lines of thought:\n" + "\n".join(numbered)


def _object(**properties: dict[str, Json]) -> Grammar[Any]:
    return json_grammar(
        {
            "type": "object",
            "properties": dict(properties),
            "required": list(properties),
            "additionalProperties": False,
        }
    )
