"""The front door: `RAG` for scripts and notebooks, `AsyncRAG` for servers and workflows."""

from ragkit.sdk.facade import RAG
from ragkit.sdk.options import AskOptions, RetrievalOptions
from ragkit.sdk.parts import PartOptions
from ragkit.sdk.rag import AsyncRAG, IndexStats

__all__ = ["RAG", "AskOptions", "AsyncRAG", "IndexStats", "PartOptions", "RetrievalOptions"]
