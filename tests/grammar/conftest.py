import pytest

from ragkit.grammar.random_decoding import RandomDecoder


@pytest.fixture(scope="session")
def decoder() -> RandomDecoder:
    """One vocabulary for all, so that xgrammar computes shared token masks once."""
    return RandomDecoder()
