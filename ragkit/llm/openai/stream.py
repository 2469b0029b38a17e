"""Assembly of replies from the chunks of a stream."""

import json
from dataclasses import dataclass, field

from ragkit.core.types import Alternative, Delta, Reply, Timings, TokenLogprob, ToolCall, Usage
from ragkit.llm.messages import estimated_text_tokens
from ragkit.llm.openai.wire import ChoiceBody, ChunkBody, DeltaBody, FunctionPiece, ToolCallPiece

_NO_DELTA = DeltaBody()
_NO_FUNCTION = FunctionPiece()


@dataclass(slots=True)
class _CallParts:
    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, piece: ToolCallPiece) -> None:
        function = piece.function or _NO_FUNCTION
        self.id = piece.id or self.id
        if function.name != self.name:  # some servers repeat it in every piece
            self.name += function.name or ""
        self.arguments += function.arguments or ""

    def goes_on_with(self, piece: ToolCallPiece) -> bool:
        """Return whether a piece at the place of this call is a part of it."""
        function = piece.function or _NO_FUNCTION
        if not function.name or not self.name:  # each call is named, in its first piece
            return True
        if piece.id and self.id:
            return piece.id == self.id
        return not (function.arguments and _is_json(self.arguments))


@dataclass(slots=True)
class _ChoiceParts:
    texts: list[str] = field(default_factory=list[str])
    reasoning: str = ""
    calls: list[_CallParts] = field(default_factory=list[_CallParts])
    finish_reason: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])

    def add(self, choice: ChoiceBody) -> str:
        delta = choice.delta or _NO_DELTA
        text = delta.text
        self.texts.append(text)
        self.reasoning += delta.thought
        for piece in delta.tool_calls or ():
            self._call_of(piece).add(piece)
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            found = choice.logprobs.content or ()
            self.logprobs += (token.token_logprob() for token in found)
        return text

    def _call_of(self, piece: ToolCallPiece) -> _CallParts:
        """Return the call of a piece; some servers give all calls the index 0, or none."""
        there = [call for call in self.calls if piece.index in {None, call.index}]
        named = [call for call in there if piece.id and call.id == piece.id]
        for call in named or there[-1:]:
            if call.goes_on_with(piece):
                return call
        index = len(self.calls) if piece.index is None else piece.index
        self.calls.append(_CallParts(index))
        return self.calls[-1]

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for call in sorted(self.calls, key=lambda call: call.index)
        )

    def tokens(self) -> int:
        """Estimate the tokens of the reply."""
        called = [call.name + call.arguments for call in self.calls]
        return sum(map(estimated_text_tokens, ["".join(self.texts), self.reasoning, *called]))

    def done(self) -> Alternative:
        return Alternative(
            text="".join(self.texts),
            finish_reason=self.finish_reason,
            logprobs=tuple(self.logprobs),
        )


class Assembly:
    """Collects the chunks of `n` replies and the times of their arrival (seconds)."""

    def __init__(self, n: int, *, started: float, prompt: int = 0) -> None:
        """Begin at `started`; `prompt` are its estimated tokens, if the server reports none."""
        self._prompt = prompt
        self._parts = [_ChoiceParts() for _ in range(n)]
        self._started = started
        self._first: float | None = None
        self._last = started
        self._usage: Usage | None = None
        self._goes_on = False
        self._model = ""

    def add(self, chunk: ChunkBody, *, now: float) -> Delta | None:
        """Add a chunk; return the text and reasoning that it adds to the first reply, if any."""
        self._model = chunk.model or self._model
        whole = self.finished
        added, thought = "", ""
        for choice in chunk.choices or ():
            index, delta = choice.index or 0, choice.delta or _NO_DELTA
            if index >= len(self._parts):
                continue
            text = self._parts[index].add(choice)
            if text or delta.thought or delta.tool_calls:
                self._first = self._first or now
                self._last = now
                self._goes_on |= whole  # some servers give every chunk the reason of the end
            if index == 0:
                added += text
                thought += delta.thought
        if chunk.usage is not None and (usage := chunk.usage.usage()) is not None:
            self._usage = usage
        return Delta(text=added, reasoning=thought) if added or thought else None

    @property
    def partial(self) -> str:
        """The text of the first reply so far."""
        return "".join(self._parts[0].texts)

    @property
    def finished(self) -> bool:
        """True when every reply has its finish reason."""
        return all(part.finish_reason for part in self._parts)

    @property
    def over(self) -> bool:
        """True when every reply has its finish reason and did not go on after it."""
        return self.finished and not self._goes_on

    def reply(self, *, now: float) -> Reply:
        """Return the whole reply; its usage is estimated where the server reported none."""
        first, *others = (part.done() for part in self._parts)
        usage = self._usage or self._estimated()
        counted = 0 if usage.estimated else usage.completion
        return Reply(
            text=first.text,
            finish_reason=first.finish_reason,
            usage=usage,
            timings=self._timings(counted // len(self._parts), now),
            model=self._model,
            logprobs=first.logprobs,
            alternatives=tuple(others),
            tool_calls=self._parts[0].tool_calls(),
            reasoning=self._parts[0].reasoning,
        )

    def _estimated(self) -> Usage:
        completion = sum(part.tokens() for part in self._parts)
        return Usage(prompt=self._prompt, completion=completion, estimated=True)

    def _timings(self, tokens: int, now: float) -> Timings:
        if self._first is None:
            return Timings(total_s=now - self._started)
        return Timings(
            ttft_s=self._first - self._started,
            tpot_s=(self._last - self._first) / (tokens - 1) if tokens > 1 else None,
            total_s=now - self._started,
        )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
