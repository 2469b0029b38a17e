"""Errors that another process raised arrive with their facts."""

import pickle

import pytest

from ragkit.core.errors import ConfigError, MissingExtraError, ProviderError, RagkitError


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("No. Fix: so."),
        MissingExtraError("ray", extra="ray"),
        ProviderError("Away.", provider="qdrant", status=503, retryable=True, partial="müde"),
    ],
)
def test_an_error_is_pickled_with_its_facts(error: RagkitError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
