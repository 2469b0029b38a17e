import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit.llm import LocalLLM
from ragkit.testing.vllm_server import Server, missing, serving, write_model


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights and its tokenizer."""
    return write_model(tmp_path_factory.mktemp("llm") / "model")


@pytest.fixture(scope="session")
def local_llm(random_model: Path) -> LocalLLM:
    """The random model in this process."""
    return LocalLLM(random_model)


@pytest.fixture(scope="session")
def vllm_server(random_model: Path) -> Iterator[Server]:
    """A real vLLM server on the CPU, with the random model.

    RAGKIT_TEST_VLLM_URL names one that runs already, as `make vllm` starts it.
    """
    if url := os.environ.get("RAGKIT_TEST_VLLM_URL"):
        yield Server(url=url, model="random")
        return
    if reason := missing():
        warnings.warn(f"NO TEST AGAINST A REAL vLLM SERVER: {reason}", stacklevel=1)
        pytest.skip(reason)
    with serving(random_model.parent) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the server's log where a test with it fails."""
    report = yield
    server = getattr(item, "funcargs", {}).get("vllm_server")
    if server is not None and report.failed:
        report.sections.append(("vLLM's log", server.tail()))
    return report
