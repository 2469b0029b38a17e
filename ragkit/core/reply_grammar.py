"""The protocol of the grammar that a reply is decoded under, and its form for servers without."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from ragkit.core.types import Json

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionForm:
    """A function that a model may call; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonForm:
    """A reply as JSON, for servers that take a JSON Schema instead of a grammar.

    Attributes:
        schema: The JSON Schema of the reply's value. The grammar may allow less; `parse` checks.
        plain: Whether the reply is the text of a string, and not JSON.
        functions: The functions that the reply calls, where it is of the form
            `{"thought": ..., "calls": [{"tool": ..., "arguments": {...}}, ...]}`: for servers that
            only have tool calls of their own.
    """

    schema: Mapping[str, Json]
    plain: bool = False
    functions: tuple[FunctionForm, ...] = ()


class ReplyGrammar(Protocol[T_co]):
    """The grammar of a reply; `ragkit.grammar` builds them."""

    @property
    def ebnf(self) -> str:
        """The grammar in xgrammar's dialect."""
        ...

    @property
    def form(self) -> JsonForm:
        """The reply as JSON, for servers that know no grammars."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens that always suffice for a reply."""
        ...

    @property
    def bounds(self) -> Mapping[str, int]:
        """The limits that bound a reply beside the schema's own bounds, by name."""
        ...

    def wide(self) -> Self:
        """This grammar without bounds but those of the schema, and limits that were asked for."""
        ...

    def fit(self, context_tokens: int, *, bytes_per_token: float = 1.0) -> Self:
        """This grammar, tightened until its longest reply is within `context_tokens`.

        Args:
            context_tokens: Tokens for the reply, with the one that ends it.
            bytes_per_token: Bytes that a token stands for: with 1 no reply is ever cut; with more,
                replies of usual text fit.

        Raises:
            InputError: No reply is that short (`ReplyTooLong`).
        """
        ...

    def __hash__(self) -> int:
        """Hash of its content."""
        ...

    def parse(self, text: str) -> T_co:
        """Read a reply.

        Raises:
            InputError: It is not of this grammar.
        """
        ...
