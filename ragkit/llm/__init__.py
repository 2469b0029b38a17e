"""Language models: the clients of servers, models in this process, and wrappers around both."""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.core.protocols import LLM, CallOptions
    from ragkit.core.types import Delta, Message, Reply
    from ragkit.llm.build import build_llm
    from ragkit.llm.call import Call, LLMWrapper, StreamedLLM
    from ragkit.llm.local.llm import LocalLLM
    from ragkit.llm.openai.servers import VLLM, LlamaCpp, Ollama, OpenAI, SGLang
    from ragkit.llm.prompts import Prompt, with_reasoning
    from ragkit.llm.typed import TypedReply, complete_typed, stream_typed
    from ragkit.llm.wrappers.cache import Cache
    from ragkit.llm.wrappers.circuit_breaker import CircuitBreaker
    from ragkit.llm.wrappers.concurrency import Concurrency
    from ragkit.llm.wrappers.cost import Metered, Price
    from ragkit.llm.wrappers.rate_limit import RateLimit, Rates
    from ragkit.llm.wrappers.retry import Retry
    from ragkit.llm.wrappers.routing import Cascade, Fallback, Router
    from ragkit.llm.wrappers.self_consistency import SelfConsistent, self_consistency

_EXPORTS = {
    "ragkit.core.protocols": ("LLM", "CallOptions"),
    "ragkit.core.types": ("Delta", "Message", "Reply"),
    "ragkit.llm.typed": ("TypedReply", "complete_typed", "stream_typed"),
    "ragkit.llm.wrappers.circuit_breaker": ("CircuitBreaker",),
    "ragkit.llm.wrappers.cache": ("Cache",),
    "ragkit.llm.wrappers.concurrency": ("Concurrency",),
    "ragkit.llm.wrappers.cost": ("Metered", "Price"),
    "ragkit.llm.local.llm": ("LocalLLM",),
    "ragkit.llm.build": ("build_llm",),
    "ragkit.llm.call": ("Call", "LLMWrapper", "StreamedLLM"),
    "ragkit.llm.prompts": ("Prompt", "with_reasoning"),
    "ragkit.llm.wrappers.self_consistency": ("SelfConsistent", "self_consistency"),
    "ragkit.llm.wrappers.rate_limit": ("RateLimit", "Rates"),
    "ragkit.llm.wrappers.retry": ("Retry",),
    "ragkit.llm.wrappers.routing": ("Cascade", "Fallback", "Router"),
    "ragkit.llm.openai.servers": ("VLLM", "LlamaCpp", "Ollama", "OpenAI", "SGLang"),
}

__all__ = [
    "LLM",
    "VLLM",
    "Cache",
    "Call",
    "CallOptions",
    "Cascade",
    "CircuitBreaker",
    "Concurrency",
    "Delta",
    "Fallback",
    "LLMWrapper",
    "LlamaCpp",
    "LocalLLM",
    "Message",
    "Metered",
    "Ollama",
    "OpenAI",
    "Price",
    "Prompt",
    "RateLimit",
    "Rates",
    "Reply",
    "Retry",
    "Router",
    "SGLang",
    "SelfConsistent",
    "StreamedLLM",
    "TypedReply",
    "build_llm",
    "complete_typed",
    "self_consistency",
    "stream_typed",
    "with_reasoning",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
