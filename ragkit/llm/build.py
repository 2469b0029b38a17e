"""Building the LLM that the settings name."""

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM
from ragkit.core.settings import LLMSettings


def build_llm(settings: LLMSettings) -> LLM:
    """Build the LLM of the settings, with retries and a bound on concurrency for a server.

    Raises:
        ConfigError: No model is set, or its provider is unknown.
    """
    if settings.model is None:
        raise ConfigError(
            "No LLM is set. Fix: set RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 for a vLLM "
            "server, or RAGKIT_LLM__MODEL=local:<folder or hub name> for a model in this process."
        )
    # Imported here: the compiler of grammars and httpx take a tenth of a second.
    from ragkit.llm.local.llm import LocalLLM
    from ragkit.llm.openai.client import VLLM
    from ragkit.llm.openai.connection import Patience
    from ragkit.llm.wrappers.concurrency import Concurrency
    from ragkit.llm.wrappers.retry import Retry

    provider, _, name = settings.model.partition(":")
    if provider == "local" and name:
        template = settings.extra.get("chat_template_kwargs", {})
        if settings.extra.keys() - {"chat_template_kwargs"} or not isinstance(template, dict):
            raise ConfigError(
                f"llm.extra is {settings.extra!r}, but a model in this process takes "
                "'chat_template_kwargs' only. Fix: remove the other fields."
            )
        return LocalLLM(
            name, device=settings.device, timeout_s=settings.timeout_s, template=template
        )
    if provider == "vllm" and name:
        url, _, model = name.partition("#")
        key = settings.api_key.get_secret_value() if settings.api_key else None
        patience = Patience(total_s=settings.timeout_s)
        server = VLLM(
            url,
            model or None,
            api_key=key,
            patience=patience,
            extra=settings.extra,
            reasoning_tokens=settings.reasoning_tokens,
        )
        return Retry(Concurrency(server, limit=settings.concurrency))
    raise ConfigError(
        f"Unknown LLM {settings.model!r}. Fix: use 'vllm:<URL>[#model]' or "
        "'local:<folder or hub name>'."
    )
