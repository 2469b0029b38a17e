"""Decoding of a batch of replies with a causal language model, each under its own grammar."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ragkit.core.protocols import CallOptions
from ragkit.core.types import Alternative, TokenLogprob
from ragkit.llm.local.detokenizer import Detokenizer
from ragkit.llm.local.sampler import Sampler

if TYPE_CHECKING:
    import xgrammar


@dataclass(slots=True, kw_only=True, eq=False)
class DecodingJob:
    """One reply to decode; `emit` receives its text in pieces, then the whole reply or an error.

    Attributes:
        prompt: Token ids.
        limit: Tokens to decode at most, the one that ends the reply included.
        options: The options of sampling.
        position: Among the `n` replies of a call.
        compiled: The grammar to decode under.
        emit: Called in the decoding thread.
        cancelled: Set it to end the decoding early.
    """

    prompt: list[int]
    limit: int
    options: CallOptions
    position: int
    compiled: "xgrammar.CompiledGrammar | None"
    emit: Callable[["str | Decoded | Exception"], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A whole reply, and its number of tokens."""

    reply: Alternative
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model, its tokenizer and their facts. transformers and its models are untyped."""

    model: Any
    tokenizer: Any
    stops: frozenset[int]
    vocabulary: int


class _Row:
    """A reply that is being decoded."""

    def __init__(self, job: DecodingJob, loaded: Loaded) -> None:
        self.job = job
        self.ids: list[int] = []
        self.finish = ""
        self.matcher = _matcher(job, loaded)
        self._loaded = loaded
        self._sampler = Sampler.new(job.options, position=job.position)
        self._logprobs: list[TokenLogprob] = []
        self._stop_texts = tuple(job.options.get("stop", ()))
        self._text = Detokenizer(self._decoded)
        self._stopped: int | None = None
        self._sent = 0

    def step(self, logits: torch.Tensor) -> None:
        """Choose a token from masked logits `[vocabulary]`."""
        top = self.job.options.get("logprobs")
        plain = None if top is None else torch.log_softmax(logits, dim=-1)
        token = self._sampler.choose(logits, self.ids)
        if self.matcher is not None and not self.matcher.accept_token(token):
            raise AssertionError(f"The grammar refused token {token}, which its mask allowed.")
        if plain is not None and top is not None:
            self._logprobs.append(self._logprob(plain, token, top))
        if token in self._loaded.stops:
            self.finish = "stop"
        else:
            self.ids.append(token)
            self._text.add(token)
            self._end_at_stop_text()
        if not self.finish and len(self.ids) >= self.job.limit:
            self.finish = "length"
        self._send()

    def done(self) -> Decoded:
        """Return the whole reply."""
        return Decoded(
            reply=Alternative(
                text=self._text.text[: self._stopped],
                finish_reason=self.finish,
                logprobs=tuple(self._logprobs),
            ),
            tokens=len(self.ids) + (self.finish == "stop"),
        )

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(
            self._loaded.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def _end_at_stop_text(self) -> None:
        if not self._stop_texts:
            return
        text = self._text.text
        found = [place for stop in self._stop_texts if (place := text.find(stop)) >= 0]
        if found:
            self._stopped = min(found)
            self.finish = "stop"

    def _send(self) -> None:
        """Emit the final text: no half characters, nothing that may begin a stop text."""
        if self.finish:
            safe = len(self._text.text[: self._stopped])
        else:
            safe = len(self._text.final) - max(
                (len(stop) - 1 for stop in self._stop_texts), default=0
            )
        if safe > self._sent:
            self.job.emit(self._text.text[self._sent : safe])
            self._sent = safe

    def _logprob(self, logprobs: torch.Tensor, token: int, top: int) -> TokenLogprob:
        best = logprobs.topk(top) if top else None
        return TokenLogprob(
            token=self._loaded.tokenizer.decode([token]),
            logprob=float(logprobs[token]),
            top=()
            if best is None
            else tuple(
                (self._loaded.tokenizer.decode([int(place)]), float(value))
                for value, place in zip(best.values, best.indices, strict=True)
            ),
        )


@torch.inference_mode()
def decode_batch(jobs: Sequence[DecodingJob], loaded: Loaded) -> None:
    """Decode until every job is done or cancelled."""
    from transformers import DynamicCache

    device = loaded.model.device
    pad = loaded.tokenizer.pad_token_id or 0
    width = max(len(job.prompt) for job in jobs)
    ids = torch.tensor([[pad] * (width - len(job.prompt)) + job.prompt for job in jobs])
    mask = torch.tensor(
        [[0] * (width - len(job.prompt)) + [1] * len(job.prompt) for job in jobs], device=device
    )
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    rows, cache, ids = [_Row(job, loaded) for job in jobs], DynamicCache(), ids.to(device)
    while rows:
        logits = loaded.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1, :]
        _choose(rows, logits.float().cpu(), loaded)
        for row in rows:
            if row.finish in {"stop", "length"}:
                row.job.emit(row.done())
        kept = [place for place, row in enumerate(rows) if not row.finish]
        if len(kept) < len(rows):
            chosen = torch.tensor(kept, device=device, dtype=torch.long)
            cache.batch_select_indices(chosen)
            mask, positions = mask[chosen], positions[chosen]
            rows = [rows[place] for place in kept]
        ids = torch.tensor([[row.ids[-1]] for row in rows], device=device)
        mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
        positions = positions[:, -1:] + 1


def _choose(rows: Sequence[_Row], logits: torch.Tensor, loaded: Loaded) -> None:
    import xgrammar

    constrained = [place for place, row in enumerate(rows) if row.matcher is not None]
    if constrained:
        mask = xgrammar.allocate_token_bitmask(len(rows), loaded.vocabulary)
        for place in constrained:
            matcher = rows[place].matcher
            if matcher is not None:
                matcher.fill_next_token_bitmask(mask, place)
        xgrammar.apply_token_bitmask_inplace(logits, mask, indices=constrained)
    for row, scores in zip(rows, logits, strict=True):
        if row.job.cancelled.is_set():
            row.finish = "cancelled"
            continue
        try:
            row.step(scores)
        except Exception as error:  # noqa: BLE001  # one reply's failure is not its neighbours'
            row.finish = "failed"
            row.job.emit(error)


def _matcher(job: DecodingJob, loaded: Loaded) -> "xgrammar.GrammarMatcher | None":
    if job.compiled is None:
        return None
    import xgrammar

    return xgrammar.GrammarMatcher(job.compiled, override_stop_tokens=sorted(loaded.stops))
