"""The LLM that the settings name."""

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM
from ragkit.core.settings import LLMSettings
from ragkit.llm.local.local_llm import LocalLLM
from ragkit.llm.openai.client import VLLM
from ragkit.llm.openai.connection import Patience
from ragkit.llm.wrappers.concurrency import Concurrency
from ragkit.llm.wrappers.retry import Retry


def open_llm(settings: LLMSettings) -> LLM:
    """The LLM of the settings, with retries, and for a server with a bound on concurrency.

    Raises:
        ConfigError: No model is set, or it is of an unknown kind.
    """
    if settings.model is None:
        raise ConfigError(
            "No LLM is set. Set RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 for a vLLM server, or "
            "RAGKIT_LLM__MODEL=local:<folder or hub name> for a model in this process."
        )
    kind, _, name = settings.model.partition(":")
    if kind == "local" and name:
        return LocalLLM(name, device=settings.device, timeout_s=settings.timeout_s)
    if kind == "vllm" and name:
        return Retry(Concurrency(_server(name, settings), limit=settings.concurrency))
    raise ConfigError(
        f"Unknown LLM {settings.model!r}; use 'vllm:<URL>[#model]' or 'local:<folder or name>'."
    )


def _server(name: str, settings: LLMSettings) -> VLLM:
    url, _, model = name.partition("#")
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return VLLM(url, model or None, api_key=key, patience=Patience(total_s=settings.timeout_s))
