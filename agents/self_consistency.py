"""Self-consistency: several replies in one call, and the answer most often reached.

After Wang et al., Self-Consistency Improves Chain of Thought Reasoning (2023).
"""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any, Unpack

from langgraph.constants import END, START

from ragkit.agents.agent import Agent, AgentGraph
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.evidence import first_question
from ragkit.agents.final_answer import conclude, without_model
from ragkit.agents.model_call import ModelReply, ModelRequest, ask
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.state import AgentState, Record, Update
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import Message
from ragkit.grammar import Grammar, json_grammar
from ragkit.grammar.schema.composition import object_schema
from ragkit.llm.wrappers.self_consistency import majority

PROMPTS = ("consistent", "question", "untrusted")

TEMPERATURE = 0.8
"""The temperature at which replies differ, where `decoding` gives no other."""

_ENDINGS = " .。।"
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»"}


@functools.cache
def reply_grammar() -> Grammar[Any]:
    """Return the grammar of reasoning and an answer."""
    return json_grammar(
        object_schema(reasoning={"type": "string"}, answer={"type": "string", "minLength": 1})
    )


def self_consistency(llm: LLM, *, samples: int = 5, **options: Unpack[AgentOptions]) -> Agent:
    """Make an agent that replies several times in one call and gives the most frequent answer.

    Args:
        llm: The model.
        samples: Number of replies; at temperature 0.8 where `decoding` gives no other.
        options: See `AgentOptions`.
    """
    at_least(1, samples=samples)
    context = agent_context("self_consistency", llm, tools=[], prompts=PROMPTS, options=options)
    pattern = SelfConsistency(context=context, samples=samples)
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfConsistency:
    """The node of an agent that replies several times."""

    context: AgentContext
    samples: int

    def graph(self) -> AgentGraph:
        """Return the graph of one node."""
        graph = AgentGraph(self.context, AgentState)
        graph.node("sample", self.sample)
        graph.add_edge(START, "sample")
        graph.add_edge("sample", END)
        return graph

    async def sample(self, state: AgentState) -> Update:
        """Reply several times and count the answers."""
        context, turn = self.context, self.context.begin(state)
        request = ModelRequest(
            name="consistent",
            messages=[context.prompts.system("consistent"), await _asked(turn)],
            grammar=reply_grammar(),
            max_tokens=context.reply_tokens,
            final=True,
            samples=self.samples,
            decoding={} if "temperature" in context.decoding else {"temperature": TEMPERATURE},
        )
        said = await ask(turn, request)
        text, count = _voted(said)
        if not text:
            reason = said.stopped_by or "model"
            return await turn.end(without_model([], f"stopped by {reason}"), reason)
        note = turn.keep(f"{count} of {self.samples} replies say: {text}")
        turn.trace.append(Record(id=f"{said.step}.1", kind="note", name="vote", result=note))
        return await conclude(turn, text, "finished", step="")


def _voted(said: ModelReply[Any]) -> tuple[str, int]:
    """Return the answer most often given, as it was first written, and its number."""
    answers: list[str] = []
    for text in (said.text, *said.alternatives) if said.value is not None else ():
        try:
            answers.append(str(reply_grammar().parse(text)["answer"]).strip())
        except InputError:
            continue
    if not answers:
        return "", 0
    found = majority(answers, key=_plain)
    return found.value, found.count


async def _asked(turn: AgentTurn) -> Message:
    """Return the question; alone it is the same each time, so that a cache may know the replies."""
    if turn.earlier or turn.background:
        return await first_question(turn, [])
    return Message(role="user", content=turn.question)


def _plain(answer: str) -> str:
    """Return the part of an answer that has to agree: case, spaces, quotes and a full stop do not.

    Every other character does, since `5` is not `-5`, `C` not `C++` and `5` not `5!`.
    """
    plain = " ".join(unicodedata.normalize("NFC", answer).lower().split()).rstrip(_ENDINGS)
    if len(plain) > 1 and plain[-1] == _QUOTES.get(plain[0]):
        return plain[1:-1].strip().rstrip(_ENDINGS)
    return plain
