"""Building the LLM that the settings name."""

import difflib

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM
from ragkit.core.settings import LLMSettings

_LOCAL = "local"
_PROVIDERS = ("vllm", "sglang", "llamacpp", "ollama", "openai", _LOCAL)


def check_llm(settings: LLMSettings) -> tuple[str, str]:
    """Return the provider and the name of the model; nothing is loaded.

    Raises:
        ConfigError: No model is set, or its provider is unknown.
    """
    if settings.model is None:
        raise ConfigError(
            "No LLM is set. Fix: set RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 for a vLLM "
            "server, or RAGKIT_LLM__MODEL=local:<folder or hub name> for a model in this process."
        )
    provider, _, name = settings.model.partition(":")
    if not name or provider not in _PROVIDERS:
        raise _unknown(settings.model, provider, [*_PROVIDERS])
    return provider, name


def build_llm(settings: LLMSettings) -> LLM:
    """Build the LLM of the settings, with retries and a bound on concurrency for a server.

    Where `breaker_failures` is set, a circuit breaker stands around these.

    Raises:
        ConfigError: No model is set, its provider is unknown, or the server needs a name or a key.
    """
    provider, name = check_llm(settings)
    if provider == _LOCAL:
        return _in_process(name, settings)
    # Imported here: the compiler of grammars and httpx take a tenth of a second.
    from ragkit.llm.openai.connection import Patience
    from ragkit.llm.openai.servers import DEFAULT_URLS, SERVERS
    from ragkit.llm.wrappers.circuit_breaker import CircuitBreaker
    from ragkit.llm.wrappers.concurrency import Concurrency
    from ragkit.llm.wrappers.retry import Retry

    url, _, model = name.partition("#")
    default = DEFAULT_URLS.get(provider)
    if default and "://" not in url:
        url, model = default, name
    key = settings.api_key.get_secret_value() if settings.api_key else None
    if key is None and url == DEFAULT_URLS["openai"]:
        raise ConfigError(f"{settings.model!r} needs a key. Fix: set RAGKIT_LLM__API_KEY.")
    server = SERVERS[provider](
        url,
        model or None,
        api_key=key,
        patience=Patience(total_s=settings.timeout_s),
        extra=settings.extra,
        reasoning_tokens=settings.reasoning_tokens,
        context=settings.context_tokens,
    )
    llm = Retry(Concurrency(server, limit=settings.concurrency))
    failures = settings.breaker_failures
    return llm if failures is None else CircuitBreaker(llm, failures=failures)


def _in_process(name: str, settings: LLMSettings) -> LLM:
    from ragkit.llm.local.llm import LocalLLM

    template = settings.extra.get("chat_template_kwargs", {})
    if settings.extra.keys() - {"chat_template_kwargs"} or not isinstance(template, dict):
        raise ConfigError(
            f"llm.extra is {settings.extra!r}, but a model in this process takes "
            "'chat_template_kwargs' only. Fix: remove the other fields."
        )
    return LocalLLM(name, device=settings.device, timeout_s=settings.timeout_s, template=template)


def _unknown(model: str, provider: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(provider.lower(), known, n=1)
    meant = f" (did you mean '{near[0]}:'?)" if near and near[0] != provider else ""
    return ConfigError(
        f"Unknown LLM {model!r}{meant}. Fix: use 'vllm:<URL>[#model]', 'sglang:<URL>[#model]', "
        "'llamacpp:<URL>[#model]', 'ollama:<model>', 'openai:<model>', '<either>:<URL>#<model>' "
        "for these two elsewhere, or 'local:<folder or hub name>'."
    )
