"""ReAct: a thought, calls, their results, and again, until the answer is there.

After Yao et al., ReAct: Synergizing Reasoning and Acting in Language Models (2023), with several
calls at once, and every call valid by the grammar that it was decoded under.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Unpack, cast

from langgraph.constants import END, START

from ragkit.agents import answering, window
from ragkit.agents.answering import (
    answer,
    background_of,
    cut_to,
    ended,
    evidence_of,
    evidence_room,
    first_question,
)
from ragkit.agents.approval import approval_node, waits
from ragkit.agents.asking import Question, Said, ask, show_thoughts
from ragkit.agents.budget import described, left_of, minus
from ragkit.agents.calling import perform_all, planned_call, repeated_too_often
from ragkit.agents.parts import (
    Agent,
    AgentOptions,
    Graph,
    Parts,
    agent_graph,
    finished,
    specs_of,
)
from ragkit.agents.prompting import fenced, tool_list
from ragkit.agents.starting import choose_tools, start, tools_of
from ragkit.agents.state import AgentState, Call, Draft, Update, clean, message_of
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Json, Message, ToolResult
from ragkit.grammar import Action, Grammar, ToolCall, action_grammar

PROMPTS = ("react", "question", "observations", *answering.PROMPTS, *window.PROMPTS)
FINISH = "finish"

_CACHED = 64
_SHARE_OF_CONTEXT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A call that ends the loop instead of doing something; satisfies `Tool` for the grammar."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    permission: Literal["read"] = field(default="read", init=False)

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """Never made: the loop ends instead."""
        return ToolResult(text="", value=None)


def text_arguments(name: str, description: str) -> dict[str, Json]:
    """The schema of an object with one text."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": description}},
        "required": [name],
        "additionalProperties": False,
    }


FINISH_CONTROL = Control(
    name=FINISH,
    description="Ends the work with the answer to the question.",
    parameters=text_arguments("answer", "The answer, in full."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What the loop needs beside the parts.

    Attributes:
        parts: What the nodes share.
        system: Name of the system prompt.
        controls: Calls that end the loop, by name; the text of their argument is the answer.
        max_calls: Calls of one turn.
        window_tokens: Tokens of the conversation; None for half of the model's context.
        summarise: Whether what has to go is summarised by the model.
        write: Whether a call of its own writes the answer after `finish`.
        act: What is done with the calls; they are made with the tools where left out.
        grammars: Of the turns, by the names of the tools that are offered.
    """

    parts: Parts
    system: str
    controls: Mapping[str, Control]
    max_calls: int
    window_tokens: int | None
    summarise: bool
    write: bool
    act: Callable[[AgentState], Awaitable[Update]] | None = None
    grammars: dict[tuple[str, ...], Grammar[Action]] = field(
        default_factory=dict[tuple[str, ...], Grammar[Action]]
    )


def react(
    llm: LLM,
    tools: Iterable[Tool],
    *,
    max_calls: int = 4,
    window_tokens: int | None = None,
    summarise: bool = False,
    write_answer: bool = False,
    **options: Unpack[AgentOptions],
) -> Agent:
    """An agent that thinks, calls and observes in turns.

    Args:
        llm: The model.
        tools: What it can do; `finish` is added.
        max_calls: Calls of one turn, which run at the same time.
        window_tokens: Tokens of the conversation at most; half of the model's context where left
            out. Older results are left out beyond.
        summarise: Whether the model summarises what is left out.
        write_answer: Whether the answer is written by a call of its own, as free text from the
            evidence, instead of within the call of `finish`.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: Two tools have one name, or a schema cannot be honoured.
    """
    parts = Parts.of(llm, [t for t in tools if t.name != FINISH], PROMPTS, options)
    loop = Loop(
        parts=parts,
        system="react",
        controls={FINISH: FINISH_CONTROL},
        max_calls=max_calls,
        window_tokens=window_tokens,
        summarise=summarise,
        write=write_answer,
    )
    return finished(loop_graph(loop), parts, pattern="react", options=options)


def loop_graph(loop: Loop) -> Graph:
    """The graph: start, then model and tools in turns, then the answer."""
    parts = loop.parts
    grammar_of(loop, list(parts.tools.values()))

    async def begin(state: AgentState) -> Update:
        return await _begin(loop, state)

    async def think(state: AgentState) -> Update:
        return await _think(loop, state)

    async def act(state: AgentState) -> Update:
        return await (loop.act(state) if loop.act else _act(loop, state))

    async def approve(state: AgentState) -> Update:
        return approval_node(parts, state)

    async def close(state: AgentState) -> Update:
        return await _close(loop, state)

    graph = agent_graph(AgentState)
    for name, node in {"start": begin, "model": think, "tools": act, "answer": close}.items():
        graph.add_node(name, node)
    graph.add_node("approve", approve)
    graph.add_edge(START, "start")
    graph.add_edge("start", "model")
    graph.add_conditional_edges("model", _after_model, ["tools", "answer", "approve", "model"])
    graph.add_conditional_edges("tools", _after_tools, ["approve", "model", "answer"])
    graph.add_conditional_edges("approve", _after_approval, ["approve", "tools"])
    graph.add_edge("answer", END)
    return graph


async def _after_model(state: AgentState) -> str:
    if state.get("stopped_by", "finished") != "finished":
        return "answer"
    calls = state.get("calls", [])
    if any(call["status"] == "ready" for call in calls):
        return "tools"
    if waits(state):
        return "approve"
    return "answer" if state.get("ended_by") else "model"


async def _after_tools(state: AgentState) -> str:
    if waits(state):
        return "approve"
    if state.get("ended_by") or state.get("stopped_by", "finished") != "finished":
        return "answer"
    return "model"


async def _after_approval(state: AgentState) -> str:
    return "approve" if waits(state) else "tools"


async def _begin(loop: Loop, state: AgentState) -> Update:
    update = start(state)
    fresh = cast("AgentState", {**state, **update})
    draft = Draft(fresh)
    chosen = await choose_tools(loop.parts, draft, fresh)
    messages = await _first_messages(loop, draft, {**fresh, "chosen": chosen})
    kept = draft.keep_messages(messages)
    return {**update, **draft.first(chosen=chosen, messages=kept)}


async def _first_messages(loop: Loop, draft: Draft, state: AgentState) -> list[Message]:
    parts = loop.parts
    offered = [*tools_of(parts, state), *loop.controls.values()]
    question = await first_question(parts, draft, state)
    return [parts.prompts.system(loop.system, tools=tool_list(offered)), question]


async def _think(loop: Loop, state: AgentState) -> Update:
    parts, draft = loop.parts, Draft(state)
    messages = _conversation(loop, draft, state, await evidence_room(parts))
    context = await parts.llm.context_tokens()
    window = loop.window_tokens or context // _SHARE_OF_CONTEXT
    messages = await _within(loop, draft, state, messages, window)
    kept = draft.keep_messages(messages)
    said = await ask(
        parts,
        draft,
        Question(
            name=loop.system,
            messages=messages,
            grammar=grammar_of(loop, tools_of(parts, state)),
            left=minus(left_of(parts.limits(state), draft.spent), parts.held(state)),
            reply=parts.reply_tokens,
            show=show_thoughts(draft.next_step()),
        ),
    )
    if said.stopped_by:
        return draft.update(messages=kept, calls=[], stopped_by=said.stopped_by)
    kept.append(["assistant", draft.keep(said.text)])
    return draft.update(messages=kept, **_decided(loop, state, said))


async def _within(
    loop: Loop, draft: Draft, state: AgentState, messages: list[Message], tokens: int
) -> list[Message]:
    return await window.shortened(
        loop.parts, draft, state, messages, tokens=tokens, summarise=loop.summarise
    )


def _decided(loop: Loop, state: AgentState, said: Said[Action]) -> Update:
    """The calls of an action; one that ends the loop does so after the others."""
    if said.value is None:
        problem = Call(id=f"{said.step}.0", tool="", arguments="{}", status="done", failed=True)
        problem["notice"] = f"This could not be read: {said.problem}"
        return {"calls": [problem]}
    ended_by: dict[str, str] = {}
    calls: list[Call] = []
    for ordinal, call in enumerate(said.value.calls, 1):
        if call.tool in loop.controls:
            ended_by = ended_by or _control(loop, call)
            continue
        calls.append(
            planned_call(
                loop.parts,
                step=f"{said.step}.{ordinal}",
                tool=call.tool,
                arguments=call.arguments,
                tainted=state.get("tainted", False),
            )
        )
    return {"calls": calls, "ended_by": ended_by}


def _control(loop: Loop, call: ToolCall) -> dict[str, str]:
    text = next((str(value) for value in call.arguments.values()), "")
    return {"name": call.tool, "text": clean(text)}


async def _act(loop: Loop, state: AgentState) -> Update:
    parts, draft = loop.parts, Draft(state)
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    calls = await perform_all(parts, draft, state.get("calls", []), left)
    done = [call for call in calls if call["status"] == "done"]
    tainted = state.get("tainted", False) or any(
        call["tool"] not in parts.trusted_tools for call in done
    )
    changes: Update = {"calls": calls, "tainted": tainted}
    if len(done) == len(calls) and repeated_too_often(draft.trace, [call["id"] for call in calls]):
        changes["stopped_by"] = "repeats"
    return draft.update(**changes)


def _conversation(loop: Loop, draft: Draft, state: AgentState, tokens: int) -> list[Message]:
    """The messages so far, and the results of the latest calls as one more."""
    messages = [message_of(role, draft.texts[text]) for role, text in state.get("messages", [])]
    calls = state.get("calls", [])
    if not calls:
        return messages
    left = left_of(loop.parts.limits(state), draft.spent)
    results = [draft.texts.get(call.get("result", ""), "") for call in calls]
    shown = cut_to(loop.parts, results, tokens)
    observations = "\n".join(
        _observation(draft, call, text) for call, text in zip(calls, shown, strict=True)
    )
    return [
        *messages,
        loop.parts.prompts.user("observations", observations=observations, left=described(left)),
    ]


def _observation(draft: Draft, call: Call, text: str) -> str:
    notice = call.get("notice", "")
    if "result" not in call:
        return notice
    state = " failed" if call.get("failed") else ""
    label = f"{call['id']} {call['tool']}{state}"
    shown = fenced(text, fence=draft.fence, label=label)
    return f"{shown}\n{notice}" if notice else shown


async def _close(loop: Loop, state: AgentState) -> Update:
    draft = Draft(state)
    ended_by = state.get("ended_by") or {}
    stopped = state.get("stopped_by", "finished")
    text = ended_by.get("text", "").strip()
    if ended_by and text and not (loop.write and ended_by.get("name") == FINISH):
        return ended(draft, state, text=text, stopped_by="finished")
    evidence = evidence_of(draft, background_of(state))
    return await answer(loop.parts, draft, state, evidence=evidence, stopped_by=stopped)


def grammar_of(loop: Loop, tools: Sequence[Tool]) -> Grammar[Action]:
    """The grammar of one turn.

    Raises:
        InputError: A tool's schema cannot be honoured.
    """
    key = tuple(tool.name for tool in tools)
    if key not in loop.grammars:
        while len(loop.grammars) >= _CACHED:
            loop.grammars.pop(next(iter(loop.grammars)))
        loop.grammars[key] = action_grammar(
            specs_of(tools),
            ending=specs_of(list(loop.controls.values())),
            max_calls=loop.max_calls,
        )
    return loop.grammars[key]
