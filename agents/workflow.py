"""Retrieval and answering as a LangGraph workflow, to run by itself or as a node of another."""

from typing import Any, NotRequired, TypedDict, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.constants import END, START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    CompiledStateGraph,
    StateGraph,
)

from ragkit.core.protocols import Answerer
from ragkit.core.types import DEFAULT_TENANT, Answer, Hit
from ragkit.retrieval.protocol import Retriever


class AnswerState(TypedDict):
    """The state of the workflow: give `question`; `hits`, then `answer`, are filled in."""

    question: str
    hits: NotRequired[list[Hit]]
    answer: NotRequired[Answer]


def answer_graph(
    retriever: Retriever,
    answerer: Answerer,
    *,
    tenant: str = DEFAULT_TENANT,
    checkpointer: BaseCheckpointSaver[str] | None = None,
) -> CompiledStateGraph[AnswerState]:
    """Return a graph of two nodes, `retrieve` and `answer`."""

    async def retrieve(state: AnswerState) -> dict[str, list[Hit]]:
        return {"hits": list(await retriever.search(state["question"], tenant=tenant))}

    async def answer(state: AnswerState) -> dict[str, Answer]:
        return {"answer": await answerer.answer(state["question"], state.get("hits", []))}

    # `Any`: the types of LangGraph's methods are only partly known.
    graph: Any = StateGraph(AnswerState)
    graph.add_node("retrieve", retrieve)
    graph.add_node("answer", answer)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "answer")
    graph.add_edge("answer", END)
    return cast("CompiledStateGraph[AnswerState]", graph.compile(checkpointer=checkpointer))
