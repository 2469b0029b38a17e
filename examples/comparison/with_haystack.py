"""Three tasks with Haystack; `python -m benchmarks.comparison` runs and compares them."""

from benchmarks.comparison_task import (
    CANCEL,
    DOCUMENTS,
    EMBEDDER,
    MODEL_URL,
    QUESTION,
    RERANKER,
    report,
)


def ask() -> tuple[str, list[str]]:
    """Ingest a folder, and answer a question with citations."""
    from pathlib import Path

    from haystack import Pipeline
    from haystack.components.builders import AnswerBuilder, ChatPromptBuilder
    from haystack.components.converters import TextFileToDocument
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.components.writers import DocumentWriter
    from haystack.dataclasses import ChatMessage
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.utils import Secret
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
        SentenceTransformersTextEmbedder,
    )

    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component("converter", TextFileToDocument())
    indexing.add_component("splitter", DocumentSplitter(split_by="word", split_length=200))
    indexing.add_component("embedder", SentenceTransformersDocumentEmbedder(model=EMBEDDER))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("converter", "splitter")
    indexing.connect("splitter", "embedder")
    indexing.connect("embedder", "writer")
    indexing.run({"converter": {"sources": sorted(Path(DOCUMENTS).glob("*.txt"))}})

    template = (
        "Answer from the sources, and cite them as [1].\n"
        "{% for one in documents %}[{{ loop.index }}] {{ one.content }}\n{% endfor %}"
        "Question: {{ question }}"
    )
    model = OpenAIChatGenerator(
        model="m", api_base_url=f"{MODEL_URL}/v1", api_key=Secret.from_token("none")
    )
    answering = Pipeline()
    answering.add_component("embedder", SentenceTransformersTextEmbedder(model=EMBEDDER))
    answering.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    answering.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user(template)]))
    answering.add_component("model", model)
    answering.add_component("answer", AnswerBuilder(reference_pattern=r"\[(\d+)\]"))
    answering.connect("embedder.embedding", "retriever.query_embedding")
    answering.connect("retriever", "prompt.documents")
    answering.connect("retriever", "answer.documents")
    answering.connect("prompt", "model")
    answering.connect("model.replies", "answer.replies")
    asked = {"text": QUESTION}, {"question": QUESTION}, {"query": QUESTION}
    found = answering.run(dict(zip(("embedder", "prompt", "answer"), asked, strict=True)))
    (answer,) = found["answer"]["answers"]
    return answer.data, [one.content for one in answer.documents]


def search() -> list[str]:
    """Search by meaning and by words, and rerank."""
    from pathlib import Path

    from haystack import Pipeline
    from haystack.components.converters import TextFileToDocument
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.retrievers.in_memory import (
        InMemoryBM25Retriever,
        InMemoryEmbeddingRetriever,
    )
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
        SentenceTransformersTextEmbedder,
    )
    from haystack_integrations.components.rankers.sentence_transformers import (
        SentenceTransformersSimilarityRanker,
    )

    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component("converter", TextFileToDocument())
    indexing.add_component("splitter", DocumentSplitter(split_by="word", split_length=200))
    indexing.add_component("embedder", SentenceTransformersDocumentEmbedder(model=EMBEDDER))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("converter", "splitter")
    indexing.connect("splitter", "embedder")
    indexing.connect("embedder", "writer")
    indexing.run({"converter": {"sources": sorted(Path(DOCUMENTS).glob("*.txt"))}})

    searching = Pipeline()
    searching.add_component("embedder", SentenceTransformersTextEmbedder(model=EMBEDDER))
    searching.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=3))
    searching.add_component("bm25", InMemoryBM25Retriever(store, top_k=3))
    searching.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
    searching.add_component("ranker", SentenceTransformersSimilarityRanker(model=RERANKER, top_k=2))
    searching.connect("embedder.embedding", "dense.query_embedding")
    searching.connect("dense", "joiner")
    searching.connect("bm25", "joiner")
    searching.connect("joiner", "ranker")
    asked = {"text": QUESTION}, {"query": QUESTION}, {"query": QUESTION}
    found = searching.run(dict(zip(("embedder", "bm25", "ranker"), asked, strict=True)))
    return [one.content for one in found["ranker"]["documents"]]


def agent() -> str:
    """Call a tool once a person has approved it."""
    from typing import Any

    from haystack.components.agents import Agent
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.hooks.human_in_the_loop import (
        AlwaysAskPolicy,
        BlockingConfirmationStrategy,
        ConfirmationHook,
    )
    from haystack.hooks.human_in_the_loop.dataclasses import ConfirmationUIResult
    from haystack.tools import tool
    from haystack.utils import Secret

    @tool
    def cancel(order: int) -> str:
        """Cancel an order."""
        return f"Order {order} is cancelled."

    class Person:
        """Says yes; `SimpleConsoleUI` would ask at the terminal."""

        def get_user_confirmation(self, *_: Any) -> ConfirmationUIResult:
            return ConfirmationUIResult(action="confirm")

    model = OpenAIChatGenerator(
        model="m", api_base_url=f"{MODEL_URL}/v1", api_key=Secret.from_token("none")
    )
    strategy = BlockingConfirmationStrategy(
        confirmation_policy=AlwaysAskPolicy(), confirmation_ui=Person()
    )
    hook = ConfirmationHook({"cancel": strategy})
    desk = Agent(chat_generator=model, tools=[cancel], hooks={"before_tool": [hook]})
    return desk.run(messages=[ChatMessage.from_user(CANCEL)])["last_message"].text


if __name__ == "__main__":
    report(ask, search, agent)
