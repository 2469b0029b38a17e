"""Three tasks with LlamaIndex; `python -m benchmarks.comparison` runs and compares them."""

import asyncio

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
    from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.query_engine import CitationQueryEngine
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.llms.openai_like import OpenAILike

    pages = SimpleDirectoryReader(DOCUMENTS).load_data()
    embedder = HuggingFaceEmbedding(model_name=EMBEDDER)
    index = VectorStoreIndex.from_documents(pages, embed_model=embedder)
    model = OpenAILike(model="m", api_base=f"{MODEL_URL}/v1", api_key="none", is_chat_model=True)
    engine = CitationQueryEngine.from_args(index, llm=model, similarity_top_k=3)
    answer = engine.query(QUESTION)
    return str(answer), [one.node.get_content() for one in answer.source_nodes]


def search() -> list[str]:
    """Search by meaning and by words, and rerank."""
    from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.postprocessor.sbert_rerank import SentenceTransformerRerank
    from llama_index.retrievers.bm25 import BM25Retriever

    pages = SimpleDirectoryReader(DOCUMENTS).load_data()
    embedder = HuggingFaceEmbedding(model_name=EMBEDDER)
    index = VectorStoreIndex.from_documents(pages, embed_model=embedder)
    words = BM25Retriever.from_defaults(docstore=index.docstore, similarity_top_k=3)
    retriever = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=3), words],
        llm=MockLLM(),  # it is asked for only with further queries, and must be there
        num_queries=1,
        similarity_top_k=3,
        mode="reciprocal_rerank",
    )
    reranker = SentenceTransformerRerank(model=RERANKER, top_n=2)
    found = reranker.postprocess_nodes(retriever.retrieve(QUESTION), query_str=QUESTION)
    return [one.node.get_content() for one in found]


def agent() -> str:
    """Call a tool once a person has approved it."""
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
    from llama_index.llms.openai_like import OpenAILike

    async def cancel(ctx: Context, order: int) -> str:
        """Cancel an order."""
        said = await ctx.wait_for_event(
            HumanResponseEvent, waiter_event=InputRequiredEvent(prefix=f"Cancel {order}?")
        )
        return f"Order {order} is cancelled." if said.response == "yes" else "Refused."

    model = OpenAILike(
        model="m",
        api_base=f"{MODEL_URL}/v1",
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
    )

    async def decided() -> str:
        handler = FunctionAgent(tools=[cancel], llm=model, streaming=False).run(CANCEL)
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))
        return str(await handler)

    return asyncio.run(decided())


if __name__ == "__main__":
    report(ask, search, agent)
