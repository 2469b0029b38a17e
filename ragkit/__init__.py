"""ragkit: retrieval-augmented generation and agents on models that you host yourself."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.core.errors import (
        ConfigError,
        IndexLocked,
        IndexMismatch,
        IndexMissing,
        InputError,
        MissingExtraError,
        ProviderError,
        RagkitError,
        ToolError,
    )
    from ragkit.core.settings import Settings
    from ragkit.core.types import Answer, Chunk, Citation, Document, Hit
    from ragkit.sdk import RAG, AsyncRAG

__version__ = "0.1.0"

_EXPORTS = {
    "ragkit.core.errors": (
        "ConfigError",
        "IndexLocked",
        "IndexMismatch",
        "IndexMissing",
        "InputError",
        "MissingExtraError",
        "ProviderError",
        "RagkitError",
        "ToolError",
    ),
    "ragkit.core.settings": ("Settings",),
    "ragkit.core.types": ("Answer", "Chunk", "Citation", "Document", "Hit"),
    "ragkit.sdk": ("RAG", "AsyncRAG"),
}

__all__ = [
    "RAG",
    "Answer",
    "AsyncRAG",
    "Chunk",
    "Citation",
    "ConfigError",
    "Document",
    "Hit",
    "IndexLocked",
    "IndexMismatch",
    "IndexMissing",
    "InputError",
    "MissingExtraError",
    "ProviderError",
    "RagkitError",
    "Settings",
    "ToolError",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS, others=("__version__",))
