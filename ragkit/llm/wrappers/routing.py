"""`Router`, `Cascade` and `Fallback`: one LLM made of several.

`Router` sends each call to the model that is named for it, `Cascade` asks a larger model when a
reply is in doubt, `Fallback` asks another model when one fails.
"""

import inspect
import logging
import math
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from ragkit.core.errors import ConfigError, ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Guarantee, Json, Message, Reply
from ragkit.grammar import choice_grammar
from ragkit.llm.call import Call, StreamedLLM, fixed_fields, model_name, weakest
from ragkit.llm.messages import messages_of
from ragkit.llm.wrappers.cost import charged

logger = logging.getLogger(__name__)

Choose: TypeAlias = Callable[[tuple[Message, ...]], str | Awaitable[str]]
Confident: TypeAlias = Callable[[Reply], bool | Awaitable[bool]]


class Router(StreamedLLM):
    """Sends each call to the model that a rule or a classifier names."""

    composite = True

    def __init__(self, routes: Mapping[str, LLM], choose: Choose) -> None:
        """Wrap several.

        Args:
            routes: The models by name.
            choose: Returns the name of a route for the messages; may be asynchronous.

        Raises:
            ConfigError: `routes` is empty.
        """
        if not routes:
            raise ConfigError("A router needs at least one route, got none.")
        self._routes = routes
        self._choose = choose

    @property
    def model(self) -> str:
        """The names of all models; a reply names its own."""
        return "|".join(llm.model for llm in self._routes.values())

    @property
    def guarantee(self) -> Guarantee:
        """The weakest guarantee among the models; a reply names its own."""
        return weakest(self._routes.values())

    async def model_name(self) -> str:
        """Return the names of all models."""
        return "|".join([await model_name(llm) for llm in self._routes.values()])

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the fields of each route's model."""
        return {name: dict(fixed_fields(llm)) for name, llm in self._routes.items()}

    async def context_tokens(self) -> int:
        """Return the shortest context among the models."""
        return min([await llm.context_tokens() for llm in self._routes.values()])

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call with the chosen model.

        Raises:
            InputError: `choose` returned an unknown route.
        """
        messages = messages_of(call.messages)
        chosen = self._choose(messages)
        name = await chosen if inspect.isawaitable(chosen) else chosen
        if name not in self._routes:
            known = ", ".join(map(repr, self._routes))
            raise InputError(f"Unknown route {name!r}. Fix: return one of {known}.")
        async with aclosing(replace(call, messages=messages).stream(self._routes[name])) as deltas:
            async for delta in deltas:
                yield delta

    async def close(self) -> None:
        """Close all."""
        for llm in self._routes.values():
            await llm.close()


def classified(llm: LLM, routes: Mapping[str, str]) -> Choose:
    """Make a `choose` that asks a small model, under a grammar of the routes' names.

    Args:
        llm: The classifier.
        routes: A description of the requests of each route, by the route's name.
    """
    grammar = choice_grammar(list(routes))
    kinds = "\n".join(f"{name}: {what}" for name, what in routes.items())
    task = Message(role="system", content=f"Name the kind of the user's request.\n{kinds}")

    async def choose(messages: tuple[Message, ...]) -> str:
        reply = await llm.complete([task, messages[-1]], grammar=grammar, temperature=0)
        return grammar.parse(reply.text)

    return choose


class Cascade(StreamedLLM):
    """Asks the models in turn, from the cheapest on, until a reply is good enough.

    A model that fails is passed over. The last model's reply is taken as it is. The usage is that
    of all models asked.
    """

    composite = True

    def __init__(self, llms: Sequence[LLM], confident: Confident | float) -> None:
        """Wrap several.

        Args:
            llms: The cheapest first.
            confident: Returns True for a reply that is good enough; or the least mean probability
                of its tokens, 0 to 1, for which log-probabilities are requested.

        Raises:
            ConfigError: `llms` is empty.
        """
        if not llms:
            raise ConfigError("A cascade needs at least one model, got none.")
        self._llms = llms
        self._confident = confident
        self.escalations = 0

    @property
    def model(self) -> str:
        """The names of all models; a reply names its own."""
        return ">".join(llm.model for llm in self._llms)

    @property
    def guarantee(self) -> Guarantee:
        """The weakest guarantee among the models; a reply names its own."""
        return weakest(self._llms)

    async def model_name(self) -> str:
        """Return the names of all models."""
        return ">".join([await model_name(llm) for llm in self._llms])

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the fields of each model."""
        return {str(place): dict(fixed_fields(llm)) for place, llm in enumerate(self._llms)}

    async def context_tokens(self) -> int:
        """Return the shortest context among the models."""
        return min([await llm.context_tokens() for llm in self._llms])

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Ask the models in turn; the text comes in one piece, when a reply is good enough."""
        if isinstance(self._confident, int | float):
            call = replace(call, options={"logprobs": 0, **call.options})
        deadline = call.deadline()
        spent: list[Reply] = []
        for llm in self._llms:
            last = llm is self._llms[-1]
            try:
                spent.append(await call.within(deadline).complete(llm))
            except (ProviderError, ContextExceeded) as error:
                if last:
                    raise
                logger.info("%s failed, asking the next model: %s", llm.model, error)
            else:
                if last or await self._good_enough(spent[-1]):
                    break
            self.escalations += 1
        yield Delta(text=spent[-1].text)
        yield Delta(text="", reply=charged(spent))

    async def close(self) -> None:
        """Close all."""
        for llm in self._llms:
            await llm.close()

    async def _good_enough(self, reply: Reply) -> bool:
        if isinstance(self._confident, int | float):
            return mean_probability(reply) >= self._confident
        found = self._confident(reply)
        return await found if inspect.isawaitable(found) else found


class Fallback(StreamedLLM):
    """Asks the models in turn until one replies: for a server that is down, or a second site.

    Only a `ProviderError` passes a call on; a call that no model would take raises its error at
    once. A stream is not passed on once a piece of its text was, since its reader would see two
    beginnings; `complete` is.

    Attributes:
        failures: Calls that were passed on, by the name of the model that failed.
    """

    composite = True

    def __init__(self, llms: Sequence[LLM]) -> None:
        """Wrap several, the preferred one first.

        Raises:
            ConfigError: `llms` is empty.
        """
        if not llms:
            raise ConfigError("A fallback needs at least one model, got none.")
        self._llms = llms
        self.failures: Counter[str] = Counter()

    @property
    def model(self) -> str:
        """The names of all models; a reply names its own."""
        return "|".join(llm.model for llm in self._llms)

    @property
    def guarantee(self) -> Guarantee:
        """The weakest guarantee among the models; a reply names its own."""
        return weakest(self._llms)

    async def model_name(self) -> str:
        """Return the name of the preferred model, whose replies are the expected ones."""
        return await model_name(self._llms[0])

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the fields of the preferred model."""
        return fixed_fields(self._llms[0])

    async def context_tokens(self) -> int:
        """Return the shortest context among the models that answer."""
        found: list[int] = []
        for llm in self._llms:
            try:
                found.append(await llm.context_tokens())
            except ProviderError:
                if llm is self._llms[-1] and not found:
                    raise
        return min(found)

    async def reply(self, call: Call) -> Reply:
        """Return the reply of the first model that has one."""
        deadline = call.deadline()
        for llm in self._llms[:-1]:
            try:
                return await call.within(deadline).complete(llm)
            except ProviderError as error:
                self._passed_on(llm, error)
        return await call.within(deadline).complete(self._llms[-1])

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the first model that begins to reply."""
        deadline = call.deadline()
        for llm in self._llms:
            begun = False
            try:
                async with aclosing(call.within(deadline).stream(llm)) as deltas:
                    async for delta in deltas:
                        begun = True
                        yield delta
            except ProviderError as error:
                if begun or llm is self._llms[-1]:
                    raise
                self._passed_on(llm, error)
            else:
                return

    async def close(self) -> None:
        """Close all."""
        for llm in self._llms:
            await llm.close()

    def _passed_on(self, llm: LLM, error: ProviderError) -> None:
        logger.warning("%s failed, asking the next model: %s", llm.model, error)
        self.failures[llm.model] += 1


def mean_probability(reply: Reply) -> float:
    """Return the geometric mean of the probabilities of a reply's tokens, 0 to 1.

    Raises:
        InputError: The reply has no log-probabilities.
    """
    if not reply.logprobs:
        raise InputError("The reply has no log-probabilities. Fix: request them with logprobs=0.")
    return math.exp(sum(token.logprob for token in reply.logprobs) / len(reply.logprobs))
