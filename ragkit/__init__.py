"""ragkit: retrieval-augmented generation and agents on models that you host yourself."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.core.errors import (
        BudgetExceeded,
        ConfigError,
        IndexLocked,
        IndexMismatch,
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
        "BudgetExceeded",
        "ConfigError",
        "IndexLocked",
        "IndexMismatch",
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
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "RAG",
    "Answer",
    "AsyncRAG",
    "BudgetExceeded",
    "Chunk",
    "Citation",
    "ConfigError",
    "Document",
    "Hit",
    "IndexLocked",
    "IndexMismatch",
    "InputError",
    "MissingExtraError",
    "ProviderError",
    "RagkitError",
    "Settings",
    "ToolError",
]


def __getattr__(name: str) -> object:
    """Import an exported name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ragkit' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The exported names."""
    return [*__all__, "__version__"]
