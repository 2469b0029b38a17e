from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError
from ragkit.core.settings import LLMSettings
from ragkit.llm import CircuitBreaker, build_llm
from ragkit.llm.build import check_llm
from ragkit.llm.openai.servers import SERVERS


@pytest.mark.parametrize(
    ("model", "named"), [(None, "RAGKIT_LLM__MODEL"), ("x", "'x'"), ("vllm:", "'vllm:'")]
)
def test_a_missing_or_unknown_llm_says_what_to_set(model: str | None, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        build_llm(LLMSettings(model=model))


def test_the_settings_open_a_server_or_a_local_model(random_model: Path) -> None:
    assert build_llm(LLMSettings(model="vllm:http://127.0.0.1:1#m")).model == "m"
    assert build_llm(LLMSettings(model=f"local:{random_model}")).model == str(random_model)


@pytest.mark.parametrize("provider", [*SERVERS, "local"])
def test_every_provider_that_is_built_is_known_without_loading_anything(provider: str) -> None:
    assert check_llm(LLMSettings(model=f"{provider}:name")) == (provider, "name")


def test_a_server_gets_a_circuit_breaker_where_the_settings_say_so() -> None:
    url = "vllm:http://127.0.0.1:1#m"
    llm = build_llm(LLMSettings(model=url, breaker_failures=3))
    assert isinstance(llm, CircuitBreaker)
    assert llm.model == "m"
    assert not isinstance(build_llm(LLMSettings(model=url)), CircuitBreaker)
