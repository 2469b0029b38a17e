"""Language models, and the grammars that their machine-read replies are decoded under."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.core.protocols import LLM, CallOptions
    from ragkit.core.types import Delta, Message, Reply
    from ragkit.llm.breaker import CircuitBreaker
    from ragkit.llm.cache import Cache
    from ragkit.llm.concurrency import Concurrency
    from ragkit.llm.cost import Metered, Price
    from ragkit.llm.local import LocalLLM
    from ragkit.llm.open import open_llm
    from ragkit.llm.prompting import Prompt, SelfConsistent, self_consistency, with_reasoning
    from ragkit.llm.rates import RateLimit, Rates
    from ragkit.llm.retry import Retry
    from ragkit.llm.routing import Cascade, Router
    from ragkit.llm.vllm import VLLM

_HOMES = {
    "LLM": "ragkit.core.protocols",
    "VLLM": "ragkit.llm.vllm",
    "Cache": "ragkit.llm.cache",
    "CallOptions": "ragkit.core.protocols",
    "Cascade": "ragkit.llm.routing",
    "CircuitBreaker": "ragkit.llm.breaker",
    "Concurrency": "ragkit.llm.concurrency",
    "Delta": "ragkit.core.types",
    "LocalLLM": "ragkit.llm.local",
    "Message": "ragkit.core.types",
    "Metered": "ragkit.llm.cost",
    "Price": "ragkit.llm.cost",
    "Prompt": "ragkit.llm.prompting",
    "RateLimit": "ragkit.llm.rates",
    "Rates": "ragkit.llm.rates",
    "Reply": "ragkit.core.types",
    "Retry": "ragkit.llm.retry",
    "Router": "ragkit.llm.routing",
    "SelfConsistent": "ragkit.llm.prompting",
    "open_llm": "ragkit.llm.open",
    "self_consistency": "ragkit.llm.prompting",
    "with_reasoning": "ragkit.llm.prompting",
}

__all__ = [
    "LLM",
    "VLLM",
    "Cache",
    "CallOptions",
    "Cascade",
    "CircuitBreaker",
    "Concurrency",
    "Delta",
    "LocalLLM",
    "Message",
    "Metered",
    "Price",
    "Prompt",
    "RateLimit",
    "Rates",
    "Reply",
    "Retry",
    "Router",
    "SelfConsistent",
    "open_llm",
    "self_consistency",
    "with_reasoning",
]


def __getattr__(name: str) -> object:
    """Import an exported name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ragkit.llm' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The exported names."""
    return list(__all__)
