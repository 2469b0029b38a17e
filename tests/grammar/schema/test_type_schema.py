"""Every value that is decoded for a type is a value of the type."""

import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, HttpUrl

from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.random_decoding import RandomDecoder

SMALL = Limits(string_length=40, items=3, map_entries=2)


@pytest.mark.parametrize(
    "kind",
    [
        datetime.timedelta,
        datetime.datetime,
        datetime.date,
        datetime.time,
        HttpUrl,
        AnyUrl,
        bytes,
        set[str],
        frozenset[int],
        Decimal,
        Annotated[Decimal, Field(max_digits=5, decimal_places=2)],
        UUID,
        tuple[int, str],
        dict[str, int],
    ],
    ids=str,
)
def test_what_is_decoded_is_a_value_of_the_type(decoder: RandomDecoder, kind: Any) -> None:
    grammar = json_grammar(kind, limits=SMALL)
    assert grammar.checked == ()
    for reply in decoder.replies(grammar):
        grammar.parse(reply)


class Price(BaseModel):
    amount: Decimal
    factor: float


def test_a_decimal_keeps_its_digits() -> None:
    price = json_grammar(Price).parse('{"amount":123456789012345678.12,"factor":1.5}')
    assert price == Price(amount=Decimal("123456789012345678.12"), factor=1.5)


def test_a_multiple_is_checked_on_its_digits() -> None:
    grammar = json_grammar({"type": "number", "multipleOf": 0.01})
    assert grammar.parse("12345678901234567.89")
