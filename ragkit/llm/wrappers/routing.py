"""`Router` sends each call to one of several models; `Cascade` asks a larger one when in doubt."""

import inspect
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias, Unpack

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Message, Reply
from ragkit.grammar import choice_grammar
from ragkit.llm.calls import Streamed
from ragkit.llm.messages import messages_of
from ragkit.llm.wrappers.cost import total_usage

Choose: TypeAlias = Callable[[tuple[Message, ...]], str | Awaitable[str]]
Confident: TypeAlias = Callable[[Reply], bool | Awaitable[bool]]


class Router(Streamed):
    """Each call goes to the model that a rule or a classifier names."""

    def __init__(self, routes: Mapping[str, LLM], choose: Choose) -> None:
        """Wrap several.

        Args:
            routes: The models by name.
            choose: Gives the name of a route for the messages; may be asynchronous.

        Raises:
            ConfigError: There are no routes.
        """
        if not routes:
            raise ConfigError("A router takes at least one route.")
        self._routes = routes
        self._choose = choose

    @property
    def model(self) -> str:
        """The names of all models; a reply names its own."""
        return "|".join(llm.model for llm in self._routes.values())

    async def context_tokens(self) -> int:
        """The shortest context among the models."""
        return min([await llm.context_tokens() for llm in self._routes.values()])

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`.

        Raises:
            InputError: `choose` names no route.
        """
        asked = messages_of(messages)
        chosen = self._choose(asked)
        name = await chosen if inspect.isawaitable(chosen) else chosen
        if name not in self._routes:
            known = ", ".join(map(repr, self._routes))
            raise InputError(f"There is no route {name!r}; the routes are {known}.")
        deltas = self._routes[name].stream(asked, grammar=grammar, **options)
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def close(self) -> None:
        """Close all."""
        for llm in self._routes.values():
            await llm.close()


def classified(llm: LLM, routes: Mapping[str, str]) -> Choose:
    """A `choose` that asks a small model, under a grammar of the routes' names.

    Args:
        llm: The classifier.
        routes: What belongs to each route, by its name.
    """
    grammar = choice_grammar(list(routes))
    kinds = "\n".join(f"{name}: {what}" for name, what in routes.items())
    task = Message(role="system", content=f"Name the kind of the user's request.\n{kinds}")

    async def choose(messages: tuple[Message, ...]) -> str:
        reply = await llm.complete([task, messages[-1]], grammar=grammar, temperature=0)
        return grammar.parse(reply.text)

    return choose


class Cascade(Streamed):
    """Asks the models in turn, from the cheapest on, until a reply is good enough.

    The last model's reply stands. Its usage covers the asked models' all.
    """

    def __init__(self, llms: Sequence[LLM], confident: Confident | float) -> None:
        """Wrap several.

        Args:
            llms: The cheapest first.
            confident: Whether a reply is good enough; or the least mean probability of its tokens,
                0 to 1, for which log-probabilities are asked of the models.

        Raises:
            ConfigError: There are no models.
        """
        if not llms:
            raise ConfigError("A cascade takes at least one model.")
        self._llms = llms
        self._least = confident if isinstance(confident, int | float) else None
        self._confident = _at_least(confident) if isinstance(confident, int | float) else confident
        self.escalations = 0

    @property
    def model(self) -> str:
        """The names of all models; a reply names its own."""
        return ">".join(llm.model for llm in self._llms)

    async def context_tokens(self) -> int:
        """The shortest context among the models."""
        return min([await llm.context_tokens() for llm in self._llms])

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`; the text comes in one piece, when it is known to stand."""
        if self._least is not None:
            options.setdefault("logprobs", 0)
        spent: list[Reply] = []
        for llm in self._llms:
            spent.append(await llm.complete(messages, grammar=grammar, **options))
            if llm is self._llms[-1] or await self._stands(spent[-1]):
                break
            self.escalations += 1
        yield Delta(text=spent[-1].text)
        yield Delta(text="", reply=_charged(spent))

    async def close(self) -> None:
        """Close all."""
        for llm in self._llms:
            await llm.close()

    async def _stands(self, reply: Reply) -> bool:
        found = self._confident(reply)
        return await found if inspect.isawaitable(found) else found


def mean_probability(reply: Reply) -> float:
    """The geometric mean of the probabilities of a reply's tokens, 0 to 1.

    Raises:
        InputError: The reply has no log-probabilities.
    """
    if not reply.logprobs:
        raise InputError("The reply has no log-probabilities; ask for them with logprobs=0.")
    return math.exp(sum(token.logprob for token in reply.logprobs) / len(reply.logprobs))


def _at_least(least: float) -> Confident:
    return lambda reply: mean_probability(reply) >= least


def _charged(replies: Sequence[Reply]) -> Reply:
    """The last reply, with what all of them took."""
    return replace(
        replies[-1],
        usage=total_usage([reply.usage for reply in replies]),
        timings=replace(
            replies[-1].timings, total_s=sum(reply.timings.total_s for reply in replies)
        ),
    )
