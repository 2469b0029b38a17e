"""LangChain's chat model over any LLM of ragkit: `ChatRagkit`."""

from ragkit.llm.langchain.chat_model import ChatRagkit

__all__ = ["ChatRagkit"]
