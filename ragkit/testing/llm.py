"""`ScriptedLLM`: a model that says what a test wants it to say, and nothing a grammar forbids."""

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, Unpack

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import CallOptions, ReplyGrammar
from ragkit.core.types import Alternative, Conversation, Delta, Message, Reply, Timings, Usage
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.llm.calls import Streamed
from ragkit.llm.messages import messages_of
from ragkit.llm.options import checked_options, fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    """What a `ScriptedLLM` was asked."""

    messages: tuple[Message, ...]
    grammar: ReplyGrammar[object] | None
    options: CallOptions

    @property
    def prompt(self) -> str:
        """All messages as one text."""
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


Script: TypeAlias = Callable[[ScriptedCall], str]
"""Makes the reply to a call. It is asked again for each of `n` replies."""


class ScriptedLLM(Streamed):
    """Replies from a list, or from a function of the call. A token is a byte here.

    Attributes:
        calls: What was asked so far.
    """

    def __init__(
        self,
        replies: Iterable[str] | Script,
        *,
        context: int = 1 << 20,
        delay_s: float = 0.0,
        model: str = "scripted",
    ) -> None:
        """Prepare the replies.

        Args:
            replies: One for each call in turn, or a function that makes them.
            context: Tokens (bytes) that prompt and reply have together.
            delay_s: Seconds until each piece of a reply.
            model: The name to go by.
        """
        self.calls: list[ScriptedCall] = []
        self._script = replies if callable(replies) else _from_list(iter(replies))
        self._context = context
        self._delay = delay_s
        self._model = model

    @property
    def model(self) -> str:
        """The name given."""
        return self._model

    async def context_tokens(self) -> int:
        """The context given."""
        return self._context

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`.

        Raises:
            AssertionError: The script is over, or says what the grammar does not allow.
        """
        asked = messages_of(messages)
        checked_options(options)
        prompt = sum(len(message.content.encode()) for message in asked)
        room = self._context - prompt
        if room < 1:
            raise ContextExceeded(f"The prompt has {prompt} tokens of {self._context}; shorten it.")
        loop = asyncio.get_running_loop()
        started = loop.time()
        grammar, limit = fitted(grammar, options.get("max_tokens"), room)
        call = ScriptedCall(messages=asked, grammar=grammar, options=options)
        self.calls.append(call)
        texts = [self._say(call, limit) for _ in range(options.get("n", 1))]
        for piece in _pieces(texts[0].text):
            await asyncio.sleep(self._delay)
            yield Delta(text=piece)
        said = sum(len(text.text.encode()) + (text.finish_reason == "stop") for text in texts)
        elapsed = loop.time() - started
        yield Delta(
            text="",
            reply=Reply(
                text=texts[0].text,
                finish_reason=texts[0].finish_reason,
                usage=Usage(prompt=prompt, completion=said),
                timings=Timings(ttft_s=elapsed, tpot_s=0.0, total_s=elapsed),
                model=self._model,
                alternatives=tuple(texts[1:]),
            ),
        )

    def _say(self, call: ScriptedCall, limit: int) -> Alternative:
        text = self._script(call)
        if call.grammar is not None:
            if not _decoder().accepts(_decoder().compile(call.grammar.ebnf), text):
                raise AssertionError(f"The scripted reply is not of its grammar: {text!r}")
            return Alternative(text=text, finish_reason="stop")
        for stop in call.options.get("stop", ()):
            text = text.partition(stop)[0]
        if len(text.encode()) < limit:
            return Alternative(text=text, finish_reason="stop")
        cut = text.encode()[:limit].decode(errors="ignore")
        return Alternative(text=cut, finish_reason="length")


def random_replies(seed: int, *, ending: float = 0.5) -> Script:
    """A script of random replies: of the call's grammar where there is one, else of words.

    A call with a `seed` of its own always gets the same reply.

    Args:
        seed: Of the random choices.
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
        said = decoder.decode(
            compiled, seed=drawn, max_tokens=call.grammar.max_tokens, ending=ending
        )
        if said is None:
            raise AssertionError("max_tokens did not suffice: the grammar's bound is wrong")
        return said.decode()

    return reply


_WORDS = ("the", "a", "model", "says", "that", "water", "runs", "downhill", "é", "🐺", "\n", "42")


def _from_list(replies: Iterator[str]) -> Script:
    def reply(call: ScriptedCall) -> str:
        text = next(replies, None)
        if text is None:
            raise AssertionError(f"The script has no reply left for: {call.prompt[-200:]!r}")
        return text

    return reply


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 8):
        yield text[start : start + 8]


@functools.cache
def _decoder() -> RandomDecoder:
    try:
        return RandomDecoder()
    except ImportError as error:
        raise InputError(
            'Checking a reply against its grammar takes xgrammar: pip install "ragkit[local]"'
        ) from error
