"""Clients of a chat server at the same time: times of their replies, and the sums of a load."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from openai import AsyncOpenAI

from ragkit.core.types import Message
from ragkit.llm import VLLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The requests of a load.

    Attributes:
        words: Words of a prompt.
        output: Tokens of each reply.
        shared: The words that all prompts begin with.
    """

    words: int
    output: int
    shared: int = 0

    def prompt(self, seed: int) -> str:
        """Return the prompt of a request, which no other one of the run has."""
        words = [
            f"{number:x}"
            for drawn, count in ((0, self.shared), (seed, self.words - self.shared))
            for number in np.random.default_rng(drawn).integers(0, 4096, count)
        ]
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySample:
    """A reply: seconds to its first text and to its end, and its tokens."""

    first_s: float
    total_s: float
    prompt: int
    tokens: int

    @property
    def token_s(self) -> float:
        """Seconds for each further token."""
        return (self.total_s - self.first_s) / max(1, self.tokens - 1)


Ask = Callable[[int], Awaitable[ReplySample]]


def ask_ragkit(llm: VLLM, shape: Shape) -> Ask:
    """Return a function that makes a request with ragkit's client; `llm` goes on after an end."""

    async def ask(seed: int) -> ReplySample:
        started = time.perf_counter()
        first = 0.0
        reply = None
        messages = [Message(role="user", content=shape.prompt(seed))]
        async for delta in llm.stream(messages, max_tokens=shape.output, seed=seed):
            if delta.text and not first:
                first = time.perf_counter() - started
            reply = delta.reply or reply
        total = time.perf_counter() - started
        if reply is None:
            raise SystemExit("A reply has no end.")
        usage = reply.usage
        return ReplySample(
            first_s=first or total, total_s=total, prompt=usage.prompt, tokens=usage.completion
        )

    return ask


def ask_openai(client: AsyncOpenAI, model: str, shape: Shape) -> Ask:
    """Return a function that makes the same request with OpenAI's own client."""

    async def ask(seed: int) -> ReplySample:
        started = time.perf_counter()
        first = 0.0
        usage: Any = None  # the SDK's
        replying = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": shape.prompt(seed)}],
            max_tokens=shape.output,
            seed=seed,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        async for event in replying:
            if not first and event.choices and event.choices[0].delta.content:
                first = time.perf_counter() - started
            usage = event.usage or usage
        total = time.perf_counter() - started
        return ReplySample(
            first_s=first or total,
            total_s=total,
            prompt=usage.prompt_tokens,
            tokens=usage.completion_tokens,
        )

    return ask


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSums:
    """What some clients got, each of which made one request behind the other."""

    samples: Sequence[ReplySample]
    seconds: float

    def percentile(self, field: Literal["first_s", "token_s", "total_s"], percent: float) -> float:
        """Return a percentile of a time, in milliseconds."""
        return float(np.percentile([getattr(one, field) for one in self.samples], percent)) * 1000

    @property
    def tokens_per_s(self) -> float:
        """Tokens of replies per second, of all clients together."""
        return sum(one.tokens for one in self.samples) / self.seconds

    def good(self, *, first_s: float, token_s: float) -> float:
        """Return the share of the replies that met both objectives."""
        met = [one.first_s <= first_s and one.token_s <= token_s for one in self.samples]
        return sum(met) / len(met)


async def load(ask: Ask, *, clients: int, requests: int, seed: int) -> LoadSums:
    """Let clients make so many requests each, at the same time."""

    async def client(place: int) -> list[ReplySample]:
        first = seed + place * requests
        return [await ask(first + number) for number in range(requests)]

    started = time.perf_counter()
    each = await asyncio.gather(*(client(place) for place in range(clients)))
    seconds = time.perf_counter() - started
    return LoadSums(samples=[one for samples in each for one in samples], seconds=seconds)
