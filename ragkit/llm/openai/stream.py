"""Assembly of replies from the chunks of a stream."""

from dataclasses import dataclass, field

from ragkit.core.types import Alternative, Delta, Reply, Timings, TokenLogprob, ToolCall, Usage
from ragkit.llm.openai.wire import ChoiceBody, ChunkBody, ToolCallPiece, UsageBody


@dataclass(slots=True)
class _CallParts:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, piece: ToolCallPiece) -> None:
        self.id = piece.id or self.id
        self.name += piece.function.name or ""
        self.arguments += piece.function.arguments or ""


@dataclass(slots=True)
class _ChoiceParts:
    texts: list[str] = field(default_factory=list[str])
    reasoning: str = ""
    calls: dict[int, _CallParts] = field(default_factory=dict[int, _CallParts])
    finish_reason: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])

    def add(self, choice: ChoiceBody) -> str:
        text = choice.delta.text
        self.texts.append(text)
        self.reasoning += choice.delta.thought
        for piece in choice.delta.tool_calls or ():
            self.calls.setdefault(piece.index, _CallParts()).add(piece)
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            found = choice.logprobs.content or ()
            self.logprobs += (token.token_logprob() for token in found)
        return text

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for _, call in sorted(self.calls.items())
        )

    def done(self) -> Alternative:
        return Alternative(
            text="".join(self.texts),
            finish_reason=self.finish_reason,
            logprobs=tuple(self.logprobs),
        )


class Assembly:
    """Collects the chunks of `n` replies and the times of their arrival (seconds)."""

    def __init__(self, n: int, *, started: float) -> None:
        """Begin at `started`."""
        self._parts = [_ChoiceParts() for _ in range(n)]
        self._started = started
        self._first: float | None = None
        self._last = started
        self._usage = UsageBody()
        self._model = ""

    def add(self, chunk: ChunkBody, *, now: float) -> Delta | None:
        """Add a chunk; return the text and reasoning that it adds to the first reply, if any."""
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        added, thought = "", ""
        for choice in chunk.choices:
            if choice.index >= len(self._parts):
                continue
            text = self._parts[choice.index].add(choice)
            if text or choice.delta.thought or choice.delta.tool_calls:
                self._first = self._first or now
                self._last = now
            if choice.index == 0:
                added += text
                thought += choice.delta.thought
        return Delta(text=added, reasoning=thought) if added or thought else None

    @property
    def partial(self) -> str:
        """The text of the first reply so far."""
        return "".join(self._parts[0].texts)

    @property
    def finished(self) -> bool:
        """True when every reply has its finish reason."""
        return all(part.finish_reason for part in self._parts)

    def reply(self, *, now: float) -> Reply:
        """Return the whole reply."""
        first, *others = (part.done() for part in self._parts)
        details = self._usage.prompt_tokens_details
        prompt = max(self._usage.prompt_tokens, 0)  # a server may report anything
        cached = (details.cached_tokens or 0) if details else 0
        usage = Usage(
            prompt=prompt,
            cached=min(max(cached, 0), prompt),
            completion=max(self._usage.completion_tokens or 0, 0),
        )
        return Reply(
            text=first.text,
            finish_reason=first.finish_reason,
            usage=usage,
            timings=self._timings(usage.completion // len(self._parts), now),
            model=self._model,
            logprobs=first.logprobs,
            alternatives=tuple(others),
            tool_calls=self._parts[0].tool_calls(),
            reasoning=self._parts[0].reasoning,
        )

    def _timings(self, tokens: int, now: float) -> Timings:
        if self._first is None:
            return Timings(total_s=now - self._started)
        return Timings(
            ttft_s=self._first - self._started,
            tpot_s=(self._last - self._first) / (tokens - 1) if tokens > 1 else None,
            total_s=now - self._started,
        )
