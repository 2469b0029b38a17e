# schemathesis types its cases only in part.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeArgument=false
"""The description of the API against what the API does, with requests made of the description."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from ragkit.server.app import ServerOptions, build_app
from ragkit.testing.server import filled_rag, listening

STREAMS = {"/v1/jobs/{name}/events"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """The description of a server that runs in a thread."""
    options = ServerOptions(folder=tmp_path_factory.mktemp("server"))
    with listening(build_app({"": asyncio.run(filled_rag())}, options)) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def test_every_answer_is_described_and_none_is_an_internal_error(
    api: schemathesis.BaseSchema,
) -> None:
    tried = 0
    for found in api.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path in STREAMS:
            continue

        @settings(
            max_examples=12,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            deadline=None,
        )
        @given(case=operation.as_strategy())
        def described(case: Case[Any]) -> None:
            response = case.call(timeout=60)
            assert response.status_code not in {500, 502, 504}, response.text
            case.validate_response(
                response, checks=[status_code_conformance, response_schema_conformance]
            )

        described()
        tried += 1
    assert tried > 15
