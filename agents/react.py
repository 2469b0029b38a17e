"""ReAct: a thought, tool calls and their results in turns, until the answer is known.

After Yao et al., ReAct: Synergizing Reasoning and Acting in Language Models (2023), with several
calls at once, and every call valid by the grammar that it was decoded under.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack

from langgraph.constants import END, START
from langgraph.types import Overwrite, Send

from ragkit.agents import conversation, final_answer
from ragkit.agents.agent import Agent, AgentGraph
from ragkit.agents.approval import approval_node
from ragkit.agents.budget import described
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.conversation import shortened
from ragkit.agents.evidence import evidence_room, fenced, first_question, fit_texts, tool_list
from ragkit.agents.final_answer import answer, conclude, evidence_of
from ragkit.agents.model_call import ModelReply, ModelRequest, ask, show_thoughts
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.state import (
    AgentCall,
    AgentState,
    Update,
    clean,
    message_of,
    waits,
)
from ragkit.agents.tool_call import (
    FINISH,
    FINISH_CONTROL,
    Control,
    call_sends,
    cut_call,
    full_arguments,
    perform_all,
    perform_one,
    planned_call,
    repeated_too_often,
    specs_of,
)
from ragkit.agents.tools.langchain import AnyTools
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Message
from ragkit.grammar import Action, Grammar
from ragkit.grammar.actions import shared_action_grammar

PROMPTS = ("react", "question", "observations", *final_answer.PROMPTS, *conversation.PROMPTS)

_CACHED = 64
_SHARE_OF_CONTEXT = 2


def react(
    llm: LLM,
    tools: AnyTools,
    *,
    max_calls: int = 4,
    window_tokens: int | None = None,
    summarise: bool = False,
    write_answer: bool = False,
    **options: Unpack[AgentOptions],
) -> Agent:
    """Make an agent that thinks, calls tools and observes in turns.

    Args:
        llm: The model.
        tools: The tools that it can call; `finish` is added.
        max_calls: Calls of one turn, which run at the same time.
        window_tokens: Tokens of the conversation at most; half of the model's context where left
            out. Older turns are left out beyond.
        summarise: Whether the model summarises the turns that are left out.
        write_answer: Whether the answer is written by a call of its own, as free text from the
            evidence, instead of within the call of `finish`.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: Two tools have one name, or a schema cannot be honoured.
    """
    at_least(1, max_calls=max_calls)
    if window_tokens is not None:
        at_least(1, window_tokens=window_tokens)
    context = agent_context(
        "react", llm, tools=tools, prompts=PROMPTS, options=options, reserved=(FINISH,)
    )
    pattern = ReAct(
        context=context,
        max_calls=max_calls,
        window_tokens=window_tokens,
        summarise=summarise,
        write_answer=write_answer,
    )
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReAct:
    """The nodes of a ReAct agent.

    Attributes:
        context: The parts of the agent.
        system: The name of the system prompt.
        controls: Calls that end the loop, by name; the text of their argument is the answer.
        max_calls: Calls of one turn.
        window_tokens: Tokens of the conversation; None for half of the model's context.
        summarise: Whether the model summarises the turns that are left out.
        write_answer: Whether a call of its own writes the answer after `finish`.
        grammars: The grammars of the turns, by the names of the tools that are offered.
    """

    context: AgentContext
    system: str = "react"
    controls: Mapping[str, Control] = field(default_factory=lambda: {FINISH: FINISH_CONTROL})
    max_calls: int = 4
    window_tokens: int | None = None
    summarise: bool = False
    write_answer: bool = False
    grammars: dict[tuple[str, ...], Grammar[Action]] = field(
        default_factory=dict[tuple[str, ...], Grammar[Action]]
    )

    def graph(self) -> AgentGraph:
        """Return the graph: start, then model and tools in turns, then the answer.

        Raises:
            InputError: A tool's schema cannot be honoured.
        """
        self.grammar(list(self.context.tools.values()))
        graph = AgentGraph(self.context, AgentState)
        graph.node("start", self.start)
        graph.node("model", self.think)
        graph.node("call", self.call)
        graph.node("tools", self.act, runs=self.agents)
        graph.node("approve", functools.partial(approval_node, self.context))
        graph.node("answer", self.close)
        graph.add_edge(START, "start")
        graph.add_edge("start", "model")
        graph.add_edge("call", "tools")
        graph.branch("model", self.after_model, ["call", "tools", "answer", "approve", "model"])
        graph.branch("tools", self.after_tools, ["approve", "model", "answer"])
        graph.branch("approve", self.after_approval, ["approve", "call", "tools"])
        graph.add_edge("answer", END)
        return graph

    @property
    def agents(self) -> list[Agent]:
        """The agents that stand in place of tools."""
        return []

    async def start(self, state: AgentState) -> Update:
        """Choose the tools and write the first messages."""
        turn = self.context.begin(state)
        chosen = await turn.choose_tools()
        offered = [*(self.context.tools[name] for name in chosen), *self.controls.values()]
        system = self.context.prompts.system(self.system, tools=tool_list(self.context, offered))
        messages = [system, await first_question(turn, offered)]
        return turn.update(chosen=chosen, prompt=turn.keep_messages(messages))

    async def think(self, state: AgentState) -> Update:
        """Ask the model for a thought and calls."""
        context, turn = self.context, self.context.turn(state)
        messages = await self._conversation(turn)
        window = self.window_tokens or await context.llm.context_tokens() // _SHARE_OF_CONTEXT
        if context.count_tokens(messages) > window:
            messages = await shortened(turn, messages, tokens=window, summarise=self.summarise)
        kept = turn.keep_messages(messages)
        request = ModelRequest(
            name=self.system,
            messages=messages,
            grammar=self.grammar(turn.tools),
            max_tokens=context.reply_tokens,
            show=show_thoughts(answers=not self.write_answer),
        )
        said = await ask(turn, request)
        if said.stopped_by:
            return turn.update(prompt=kept, calls=[], stopped_by=said.stopped_by)
        kept.append(["assistant", turn.keep(said.text)])
        changes = self._decided(turn, said)
        return turn.update(prompt=kept, **changes)

    async def call(self, state: AgentState) -> Update:
        """Make one of several calls, in a task of its own."""
        turn = self.context.turn(state)
        return {"made": [await perform_one(turn, state.get("calls", [])[0])]}

    async def act(self, state: AgentState) -> Update:
        """Make the call that is ready, or take in the results of several."""
        turn = self.context.turn(state)
        calls = await perform_all(turn, state.get("calls", []))
        done = [call for call in calls if call["status"] == "done"]
        trusted = self.context.trusted_tools
        changes: Update = {
            "calls": calls,
            "tainted": turn.tainted or any(call["tool"] not in trusted for call in done),
        }
        if state.get("made"):
            changes["made"] = Overwrite([])
        if len(done) == len(calls) and repeated_too_often(turn, [call["id"] for call in calls]):
            changes["stopped_by"] = "repeats"
        return turn.update(**changes)

    async def close(self, state: AgentState) -> Update:
        """Give the answer of the call that ended the loop, or write one from the evidence."""
        turn = self.context.turn(state)
        ended_by = state.get("ended_by") or {}
        text = ended_by.get("text", "").strip()
        step, cut = ended_by.get("step", ""), "cut" in ended_by
        rewritten = cut or (self.write_answer and ended_by.get("name") == FINISH)
        written = bool(text) and not rewritten
        if written and self.context.output is None:
            return await turn.end(text, "finished", step=step)
        known = {text for _, text in turn.background}
        found = [(label, said) for label, said in evidence_of(turn) if said not in known]
        evidence = [*turn.background, *found, *([("answer, its end cut off", text)] if cut else [])]
        if written:
            return await conclude(turn, text, "finished", step=step, evidence=evidence)
        return await answer(turn, evidence)

    async def after_model(self, state: AgentState) -> str | list[Send]:
        """Return the node after `model`."""
        if state.get("stopped_by", "finished") != "finished":
            return "answer"
        if any(call["status"] == "ready" for call in state.get("calls", [])):
            return self._acting(state)
        if waits(state):
            return "approve"
        return "answer" if state.get("ended_by") else "model"

    async def after_tools(self, state: AgentState) -> str:
        """Return the node after `tools`."""
        if waits(state):
            return "approve"
        over = state.get("ended_by") or state.get("stopped_by", "finished") != "finished"
        return "answer" if over else "model"

    async def after_approval(self, state: AgentState) -> str | list[Send]:
        """Return the node after `approve`."""
        return "approve" if waits(state) else self._acting(state)

    def _acting(self, state: AgentState) -> str | list[Send]:
        """Return one task for each call that is ready, where there are several."""
        sends = call_sends(state, "call")
        return sends if len(sends) > 1 else "tools"

    def grammar(self, tools: Sequence[Tool]) -> Grammar[Action]:
        """Return the grammar of one turn.

        Raises:
            InputError: A tool's schema cannot be honoured.
        """
        key = tuple(tool.name for tool in tools)
        if key not in self.grammars:
            while len(self.grammars) >= _CACHED:
                self.grammars.pop(next(iter(self.grammars)))
            self.grammars[key] = shared_action_grammar(
                specs_of(tools),
                ending=specs_of(self.controls.values()),
                max_calls=self.max_calls,
                limits=self.context.limits,
            )
        return self.grammars[key]

    def _decided(self, turn: AgentTurn, said: ModelReply[Action]) -> Update:
        """Return the calls of an action; one that ends the loop does so after the others."""
        if said.value is None:
            problem = AgentCall(
                id=f"{said.step}.0", tool="", arguments="{}", status="done", failed=True
            )
            problem["notice"] = f"This could not be read: {said.problem}"
            return {"calls": [problem]}
        ended_by: dict[str, str] = {}
        calls: list[AgentCall] = []
        for ordinal, call in enumerate(said.value.calls, 1):
            if call.tool not in self.controls:
                step = f"{said.step}.{ordinal}"
                planned = planned_call(
                    turn, call.tool, call.arguments, step=step, tainted=turn.tainted
                )
                tool = self.context.tools[call.tool]
                cut = full_arguments(call.arguments, tool, said.limits)
                calls.append(cut_call(planned, cut) if cut else planned)
            elif not ended_by:
                text = next((str(value) for value in call.arguments.values()), "")
                ended_by = {"name": call.tool, "text": clean(text), "step": said.step}
                control, times = self.controls[call.tool], said.limits.calls if said.limits else 1
                if full_arguments(call.arguments, control, said.limits, times=times):
                    ended_by["cut"] = "true"
        if calls:
            turn.messages.append(turn.calls(said.step, said.value.thought, calls))
        return {"calls": calls, "ended_by": ended_by}

    async def _conversation(self, turn: AgentTurn) -> list[Message]:
        """Return the messages so far, and the results of the latest calls as one more."""
        messages = [
            message_of(role, turn.texts[text]) for role, text in turn.state.get("prompt", [])
        ]
        calls = turn.state.get("calls", [])
        if not calls:
            return messages
        results = [turn.texts.get(call.get("result", ""), "") for call in calls]
        shown = fit_texts(self.context, results, tokens=await evidence_room(self.context))
        observations = "\n".join(
            _observation(call, text, fence=turn.fence)
            for call, text in zip(calls, shown, strict=True)
        )
        left = described(turn.left)
        return [
            *messages,
            self.context.prompts.user("observations", observations=observations, left=left),
        ]


def _observation(call: AgentCall, text: str, *, fence: str) -> str:
    notice = call.get("notice", "")
    if "result" not in call:
        return notice
    state = " failed" if call.get("failed") else ""
    label = f"{call['id']} {call['tool']}"
    shown = fenced(text, fence=fence, label=f"{label}{state}")
    if call.get("edited"):
        given = fenced(call["arguments"], fence=fence, label=f"{label} arguments")
        shown = f"A person changed the arguments of this call to these:\n{given}\n{shown}"
    return f"{shown}\n{notice}" if notice else shown
