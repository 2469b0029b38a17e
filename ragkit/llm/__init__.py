"""Language models, and the grammars that their machine-read replies are decoded under."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.core.protocols import LLM, CallOptions
    from ragkit.core.types import Delta, Message, Reply
    from ragkit.llm.local.local_llm import LocalLLM
    from ragkit.llm.open import open_llm
    from ragkit.llm.openai.client import VLLM
    from ragkit.llm.prompts import Prompt, SelfConsistent, self_consistency, with_reasoning
    from ragkit.llm.wrappers.cache import Cache
    from ragkit.llm.wrappers.circuit_breaker import CircuitBreaker
    from ragkit.llm.wrappers.concurrency import Concurrency
    from ragkit.llm.wrappers.cost import Metered, Price
    from ragkit.llm.wrappers.rate_limit import RateLimit, Rates
    from ragkit.llm.wrappers.retry import Retry
    from ragkit.llm.wrappers.routing import Cascade, Router

_EXPORTS = {
    "ragkit.core.protocols": ("LLM", "CallOptions"),
    "ragkit.core.types": ("Delta", "Message", "Reply"),
    "ragkit.llm.wrappers.circuit_breaker": ("CircuitBreaker",),
    "ragkit.llm.wrappers.cache": ("Cache",),
    "ragkit.llm.wrappers.concurrency": ("Concurrency",),
    "ragkit.llm.wrappers.cost": ("Metered", "Price"),
    "ragkit.llm.local.local_llm": ("LocalLLM",),
    "ragkit.llm.open": ("open_llm",),
    "ragkit.llm.prompts": ("Prompt", "SelfConsistent", "self_consistency", "with_reasoning"),
    "ragkit.llm.wrappers.rate_limit": ("RateLimit", "Rates"),
    "ragkit.llm.wrappers.retry": ("Retry",),
    "ragkit.llm.wrappers.routing": ("Cascade", "Router"),
    "ragkit.llm.openai.client": ("VLLM",),
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
