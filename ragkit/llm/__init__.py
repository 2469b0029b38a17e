"""Language models, and the grammars that their machine-read replies are decoded under."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

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

_EXPORTS = {
    "ragkit.core.protocols": ("LLM", "CallOptions"),
    "ragkit.core.types": ("Delta", "Message", "Reply"),
    "ragkit.llm.breaker": ("CircuitBreaker",),
    "ragkit.llm.cache": ("Cache",),
    "ragkit.llm.concurrency": ("Concurrency",),
    "ragkit.llm.cost": ("Metered", "Price"),
    "ragkit.llm.local": ("LocalLLM",),
    "ragkit.llm.open": ("open_llm",),
    "ragkit.llm.prompting": ("Prompt", "SelfConsistent", "self_consistency", "with_reasoning"),
    "ragkit.llm.rates": ("RateLimit", "Rates"),
    "ragkit.llm.retry": ("Retry",),
    "ragkit.llm.routing": ("Cascade", "Router"),
    "ragkit.llm.vllm": ("VLLM",),
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

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
