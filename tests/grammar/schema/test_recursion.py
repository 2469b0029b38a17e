from typing import Any

import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import json_grammar


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"$ref": "#"}},
        {"anyOf": [{"type": "string"}, {"$ref": "#"}]},
        {
            "properties": {"a": {"$ref": "#/$defs/b"}},
            "$defs": {"b": {"allOf": [{"$ref": "#/$defs/b"}]}},
        },
    ],
)
def test_a_schema_that_never_ends_is_refused(schema: Any) -> None:
    with pytest.raises(InputError, match="leads back to itself"):
        json_grammar(schema)
