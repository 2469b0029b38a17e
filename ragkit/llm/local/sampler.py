"""Sampling of the next token from logits, each row of a batch by its own options."""

from dataclasses import dataclass

import torch

from ragkit.core.protocols import CallOptions


@dataclass(slots=True, kw_only=True)
class Sampler:
    """The sampler of one reply, with its own random source."""

    options: CallOptions
    generator: torch.Generator

    @classmethod
    def new(cls, options: CallOptions, *, position: int) -> "Sampler":
        """Make a sampler for the reply at this position among `n`, reproducible with a seed."""
        generator = torch.Generator()
        seed = options.get("seed")
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed((seed + position) % 2**63)
        return cls(options=options, generator=generator)

    def choose(self, logits: torch.Tensor, decoded: list[int]) -> int:
        """Choose a token from float32 logits `[vocabulary]`, which are changed in place."""
        _penalise(logits, decoded, self.options.get("repetition_penalty", 1.0))
        temperature = self.options.get("temperature", 1.0)
        if temperature == 0:
            return int(logits.argmax())
        probabilities = torch.softmax(logits / temperature, dim=-1)
        probabilities = _likely(probabilities, self.options)
        return int(torch.multinomial(probabilities, 1, generator=self.generator))


def _penalise(logits: torch.Tensor, decoded: list[int], penalty: float) -> None:
    """Make tokens that were decoded already less likely (CTRL, arXiv:1909.05858, section 4.1)."""
    if penalty == 1.0 or not decoded:
        return
    seen = torch.tensor(sorted(set(decoded)))
    found = logits[seen]
    logits[seen] = torch.where(found > 0, found / penalty, found * penalty)


def _likely(probabilities: torch.Tensor, options: CallOptions) -> torch.Tensor:
    """Set the probabilities that `top_k`, `top_p` and `min_p` exclude to zero."""
    kept = probabilities
    if (k := options.get("top_k")) is not None and k < len(kept):
        kept = torch.where(kept >= kept.topk(k).values[-1], kept, 0)
    if (p := options.get("top_p", 1.0)) < 1:
        ordered, places = kept.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        kept = kept.clone()
        kept[places[before >= p * ordered.sum()]] = 0
    if share := options.get("min_p", 0.0):
        kept = torch.where(kept >= share * kept.max(), kept, 0)
    return kept
