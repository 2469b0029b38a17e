"""The load that a replica carries within memory and objectives (docs/planning.md, "Capacity")."""

import math
from dataclasses import dataclass

from ragkit.planning.load import Load, Serving
from ragkit.planning.memory import copies, sequence_bytes, weight_bytes
from ragkit.planning.roofline import Replica

LARGEST_BATCH = 1024
"""The most sequences of a batch that are considered: vLLM's own default for large GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A replica with `concurrency` sequences at all times.

    Attributes:
        rate: Requests per second that it finishes.
        ttft_s: Expected time to the first token.
        tpot_s: Expected time per output token.
    """

    concurrency: int
    rate: float
    ttft_s: float
    tpot_s: float

    def meets(self, load: Load) -> bool:
        """Return whether it keeps the objectives of a load."""
        first = load.ttft_s is None or self.ttft_s <= load.ttft_s
        return first and (load.tpot_s is None or self.tpot_s <= load.tpot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedReplica:
    """A replica under a load."""

    replica: Replica
    load: Load
    serving: Serving

    @property
    def cache_space(self) -> int:
        """Bytes for the KV cache on all its GPUs; negative if the weights do not fit."""
        usable = self.replica.gpu.memory * self.serving.utilisation - self.serving.reserve
        weights = weight_bytes(self.replica.model, self.replica.weights)
        return math.floor(usable * self.replica.gpus - weights)

    @property
    def prefix_bytes(self) -> int:
        """Bytes of the shared prefix, which is kept once."""
        if not self.load.prefix:
            return 0
        return self._bytes(self.load.prefix)

    @property
    def own_bytes(self) -> int:
        """Bytes of the tokens that a sequence does not share."""
        return self._bytes(self.load.tokens - self.load.prefix)

    @property
    def max_sequences(self) -> int:
        """Sequences of full length that fit beside the shared prefix."""
        return max(0, (self.cache_space - self.prefix_bytes) // self.own_bytes)

    def _bytes(self, tokens: int) -> int:
        size = sequence_bytes(self.replica.model, tokens, self.replica.cache)
        return math.ceil(size * copies(self.replica.model, self.replica.tensor))

    @property
    def prefill_s(self) -> float:
        """Expected time of a prompt's own tokens on an idle replica."""
        prefix = self.load.prefix
        bound = self.replica.prefill(self.load.prompt - prefix, prefix)
        return bound.seconds / self.serving.efficiency

    def at(self, concurrency: int) -> OperatingPoint:
        """Return what the replica does with this many sequences at all times.

        Each sequence needs one prefill and `output` steps of decoding, and waits for the prefills
        of the others; the stages of a pipeline take prefills one behind the other. A new request
        waits as in an M/D/1 queue for the prefills before it.
        """
        context = self.load.prompt + self.load.output / 2
        step = self.replica.decode(concurrency, context).seconds / self.serving.efficiency
        busy = self.prefill_s / self.replica.pipeline
        total = self.load.output * step + concurrency * busy
        rate = concurrency / total
        used = rate * busy
        wait = busy * used / (2 * (1 - used))
        return OperatingPoint(
            concurrency=concurrency,
            rate=rate,
            ttft_s=self.prefill_s + wait + step,
            tpot_s=total / self.load.output,
        )

    def best(self) -> OperatingPoint | None:
        """Return the largest concurrency that fits and keeps the objectives, or None."""
        low, high = 0, min(self.max_sequences, LARGEST_BATCH)
        while low < high:
            middle = (low + high + 1) // 2
            if self.at(middle).meets(self.load):
                low = middle
            else:
                high = middle - 1
        return self.at(low) if low else None

    def for_rate(self, rate: float) -> OperatingPoint:
        """Return the smallest concurrency that finishes `rate` requests a second."""
        low, high = 1, max(1, min(self.max_sequences, LARGEST_BATCH))
        while low < high:
            middle = (low + high) // 2
            if self.at(middle).rate >= rate:
                high = middle
            else:
                low = middle + 1
        return self.at(low)
