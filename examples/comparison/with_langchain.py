"""Three tasks with LangChain; `python -m benchmarks.comparison` runs and compares them."""

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
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_openai import ChatOpenAI
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from pydantic import BaseModel, Field

    class Cited(BaseModel):
        """An answer, with the numbers of the sources that it rests on."""

        text: str
        sources: list[int] = Field(description="Numbers of the sources.")

    pages = DirectoryLoader(DOCUMENTS, glob="*.txt", loader_cls=TextLoader).load()
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=0).split_documents(pages)
    store = InMemoryVectorStore(HuggingFaceEmbeddings(model_name=EMBEDDER))
    store.add_documents(chunks)
    found = store.similarity_search(QUESTION, k=3)
    sources = "\n\n".join(f"[{number}] {one.page_content}" for number, one in enumerate(found, 1))
    model = ChatOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", model="m")
    answer = model.with_structured_output(Cited).invoke(
        f"Answer from the sources, and name them.\n\n{sources}\n\nQuestion: {QUESTION}"
    )
    return answer.text, [f"[{number}]" for number in answer.sources]


def search() -> list[str]:
    """Search by meaning and by words, and rerank."""
    from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_community.cross_encoders import HuggingFaceCrossEncoder
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_community.retrievers import BM25Retriever
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    pages = DirectoryLoader(DOCUMENTS, glob="*.txt", loader_cls=TextLoader).load()
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=0).split_documents(pages)
    store = InMemoryVectorStore(HuggingFaceEmbeddings(model_name=EMBEDDER))
    store.add_documents(chunks)
    legs = [BM25Retriever.from_documents(chunks), store.as_retriever()]
    reranker = CrossEncoderReranker(model=HuggingFaceCrossEncoder(model_name=RERANKER), top_n=2)
    retriever = ContextualCompressionRetriever(
        base_retriever=EnsembleRetriever(retrievers=legs), base_compressor=reranker
    )
    return [one.page_content for one in retriever.invoke(QUESTION)]


def agent() -> str:
    """Call a tool once a person has approved it."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    @tool
    def cancel(order: int) -> str:
        """Cancel an order."""
        return f"Order {order} is cancelled."

    desk = create_agent(
        ChatOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", model="m"),
        [cancel],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"cancel": True})],
        checkpointer=InMemorySaver(),
    )
    thread = {"configurable": {"thread_id": "1"}}
    waiting = desk.invoke({"messages": [("user", CANCEL)]}, thread)
    assert waiting["__interrupt__"]
    done = desk.invoke(Command(resume={"decisions": [{"type": "approve"}]}), thread)
    return done["messages"][-1].content


if __name__ == "__main__":
    report(ask, search, agent)
