"""`ScriptedLLM`: a double of an LLM with scripted replies, checked against their grammars."""

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import (
    Alternative,
    Delta,
    Guarantee,
    Message,
    Reply,
    Timings,
    ToolCall,
    Usage,
)
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.llm.call import Call, StreamedLLM
from ragkit.llm.checking import checked
from ragkit.llm.fitting import held
from ragkit.llm.messages import messages_of
from ragkit.llm.options import checked_options, fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    """A call that a `ScriptedLLM` received.

    Attributes:
        messages: The conversation.
        grammar: The form of the grammar that the reply is decoded under.
        options: The options.
        max_tokens: Tokens (bytes) after which the reply is cut.
    """

    messages: tuple[Message, ...]
    grammar: ReplyGrammar[object] | None
    options: CallOptions
    max_tokens: int = 1 << 20

    @property
    def prompt(self) -> str:
        """All messages as one text."""
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


Said: TypeAlias = str | Sequence[ToolCall]
"""A reply: its text, or the tool calls of a call that has `tools`."""

Script: TypeAlias = Callable[[ScriptedCall], Said]
"""Returns the reply to a call; it is called once for each of `n` replies."""


_PIECE = 8
"""Characters of a delta."""


class ScriptedLLM(StreamedLLM):
    """Replies from a list, or from a function of the call. A token is a byte here.

    Attributes:
        calls: The calls so far.
    """

    def __init__(
        self,
        replies: Iterable[Said] | Script,
        *,
        context: int = 1 << 20,
        delay_s: float = 0.0,
        model: str = "scripted",
        guarantee: Guarantee = "grammar",
    ) -> None:
        """Prepare the replies.

        Args:
            replies: One for each call in turn, or a function that returns them.
            context: Tokens (bytes) that prompt and reply have together.
            delay_s: Seconds until each piece of a reply.
            model: The model's name.
            guarantee: `"schema"` for a double of a server that knows no grammars: a reply that
                its grammar does not take is asked for again once, which takes the next reply.
        """
        self.calls: list[ScriptedCall] = []
        self._script = replies if callable(replies) else _from_list(iter(replies))
        self._context = context
        self._delay = delay_s
        self._model = model
        self._guarantee: Guarantee = guarantee

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee, as given."""
        return self._guarantee

    @property
    def model(self) -> str:
        """The model's name, as given."""
        return self._model

    async def context_tokens(self) -> int:
        """Return the context, as given."""
        return self._context

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the scripted reply.

        Raises:
            AssertionError: The script has ended, or its reply does not match the grammar.
        """
        messages = messages_of(call.messages)
        checked_options(call.options, grammar=call.grammar)
        call = replace(call, messages=messages)
        room = self._room(messages)
        if call.grammar is None:
            parts = self._said(None, fitted(None, call.options.get("max_tokens"), room)[1], call)
        elif self._guarantee == "schema":
            parts = checked(self._unheld, call, model=self._model, provider="scripted")
        else:
            parts = held(self._said, call, room)
        async with aclosing(parts) as deltas:
            async for delta in deltas:
                yield delta

    def _room(self, messages: tuple[Message, ...]) -> int:
        prompt = _size(messages)
        if prompt >= self._context:
            raise ContextExceeded(
                f"The prompt has {prompt} tokens of {self._context}. Fix: shorten it."
            )
        return self._context - prompt

    def _unheld(self, call: Call, grammar: ReplyGrammar[object]) -> AsyncGenerator[Delta]:
        most, room = call.options.get("max_tokens"), self._room(messages_of(call.messages))
        fit, _ = fitted(grammar, most, room)
        return self._said(fit, room if most is None else min(most, room), call)

    async def _said(
        self, grammar: ReplyGrammar[object] | None, limit: int, call: Call
    ) -> AsyncGenerator[Delta]:
        messages = messages_of(call.messages)
        loop = asyncio.get_running_loop()
        started = loop.time()
        scripted = ScriptedCall(
            messages=messages, grammar=grammar, options=call.options, max_tokens=limit
        )
        self.calls.append(scripted)
        said = [self._say(scripted) for _ in range(call.options.get("n", 1))]
        texts = [reply for reply, _ in said]
        for start in range(0, len(texts[0].text), _PIECE):
            await asyncio.sleep(self._delay)
            yield Delta(text=texts[0].text[start : start + _PIECE])
        tokens = sum(len(text.text.encode()) + (text.finish_reason == "stop") for text in texts)
        elapsed = loop.time() - started
        yield Delta(
            text="",
            reply=Reply(
                text=texts[0].text,
                finish_reason=texts[0].finish_reason,
                usage=Usage(prompt=_size(messages), completion=tokens),
                timings=Timings(ttft_s=elapsed, tpot_s=0.0, total_s=elapsed),
                model=self._model,
                alternatives=tuple(texts[1:]),
                tool_calls=said[0][1],
            ),
        )

    def _say(self, call: ScriptedCall) -> tuple[Alternative, tuple[ToolCall, ...]]:
        said = self._script(call)
        if not isinstance(said, str):
            if not call.options.get("tools"):
                raise AssertionError(f"The script calls tools, but the call has none: {said!r}")
            return Alternative(text="", finish_reason="tool_calls"), tuple(said)
        return self._text(call, said), ()

    def _text(self, call: ScriptedCall, text: str) -> Alternative:
        grammar = call.grammar if self._guarantee == "grammar" else None
        if grammar is None:
            for stop in call.options.get("stop", ()):
                text = text.partition(stop)[0]
        elif not _decoder().accepts(_decoder().compile(grammar.ebnf), text):
            raise AssertionError(f"The scripted reply does not match its grammar: {text!r}")
        if len(text.encode()) < call.max_tokens:
            return Alternative(text=text, finish_reason="stop")
        if grammar is not None and grammar.max_tokens <= call.max_tokens:
            raise AssertionError(f"The scripted reply is longer than its grammar says: {text!r}")
        cut = text.encode()[: call.max_tokens].decode(errors="ignore")
        return Alternative(text=cut, finish_reason="length")


class FailingLLM(ScriptedLLM):
    """Raises the given errors in turn, before or after a first piece of text, then replies.

    Attributes:
        attempts: Number of calls so far, the failed ones included.
    """

    def __init__(
        self,
        *errors: Exception,
        replies: Iterable[Said] | Script = lambda _: "reply",
        after_a_piece: bool = False,
    ) -> None:
        """Prepare the errors.

        Args:
            *errors: One for each call in turn.
            replies: The replies after that, as for `ScriptedLLM`.
            after_a_piece: Yield a piece of text before each error.
        """
        super().__init__(replies)
        self.attempts = 0
        self._errors = list(errors)
        self._after_a_piece = after_a_piece

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Raise the next error, or stream the scripted reply."""
        self.attempts += 1
        if self._errors:
            if self._after_a_piece:
                yield Delta(text="half")
            raise self._errors.pop(0)
        async with aclosing(super().respond(call)) as deltas:
            async for delta in deltas:
                yield delta


def random_replies(seed: int, *, ending: float = 0.5) -> Script:
    """Make a script of random replies: by the call's grammar where it has one, else of words.

    A call with a `seed` always gets the same reply.

    Args:
        seed: The seed of the random choices.
        ending: Chance to end a string or list where possible: higher makes shorter replies.
    """
    chance = random.Random(seed)

    def reply(call: ScriptedCall) -> str:
        own = call.options.get("seed")
        drawn = own if own is not None else chance.getrandbits(32)
        if call.grammar is None:
            words = random.Random(drawn)
            return " ".join(words.choice(_WORDS) for _ in range(words.randrange(1, 40)))
        decoder = _decoder()
        compiled = decoder.compile(call.grammar.ebnf)
        longest = call.grammar.max_tokens
        most = _MOST_TOKENS if longest > call.max_tokens else longest
        said = decoder.decode(compiled, seed=drawn, max_tokens=most, ending=ending)
        if said is None:
            raise AssertionError("The reply did not fit max_tokens: the grammar's bound is wrong.")
        return said.decode()

    return reply


_MOST_TOKENS = 1 << 16
_WORDS = ("the", "a", "model", "says", "that", "water", "runs", "downhill", "é", "🐺", "\n", "42")


def _size(messages: tuple[Message, ...]) -> int:
    return sum(len(message.content.encode()) for message in messages)


def _from_list(replies: Iterator[Said]) -> Script:
    def reply(call: ScriptedCall) -> Said:
        text = next(replies, None)
        if text is None:
            raise AssertionError(f"The script has no reply left for {call.prompt[-200:]!r}.")
        return text

    return reply


@functools.cache
def _decoder() -> RandomDecoder:
    try:
        return RandomDecoder()
    except ImportError as error:
        raise InputError(
            'Checking a reply against its grammar needs xgrammar. Fix: pip install "ragkit[local]"'
        ) from error
