"""The load that a deployment must carry, and the way it is served."""

from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.planning.precision import CachePrecision, WeightPrecision

GIB = 2**30
LEAST, MOST = 1e-9, 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests of one kind.

    Attributes:
        rate: Requests per second.
        prompt: Tokens of a prompt.
        output: Tokens of a reply.
        ttft_s: The longest time to the first token, in seconds; None for any.
        tpot_s: The longest time per output token, in seconds; None for any.
        shared_prefix: The share of the prompt that all requests begin with, from 0 to below 1.

    Raises:
        InputError: A value is out of range.
    """

    rate: float
    prompt: int
    output: int
    ttft_s: float | None = None
    tpot_s: float | None = None
    shared_prefix: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("rate", "prompt", "output", "ttft_s", "tpot_s"):
            value: float | None = getattr(self, name)
            if value is not None:
                check_positive(name, value)
        if not 0 <= self.shared_prefix < 1:
            raise InputError(
                f"shared_prefix is {self.shared_prefix!r}. Fix: a share from 0 to below 1."
            )

    @property
    def prefix(self) -> int:
        """Tokens that all prompts begin with."""
        return int(self.prompt * self.shared_prefix)

    @property
    def tokens(self) -> int:
        """Tokens of a request at its end."""
        return self.prompt + self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The way a model is served.

    Attributes:
        weights: Precision of the weights.
        cache: Precision of the KV cache.
        utilisation: The share of a GPU's memory that the server may use.
        reserve: Bytes of each GPU for activations and CUDA graphs.
        efficiency: The share of the roofline that real kernels reach.
        margin: The share by which the deployment exceeds the load.
        max_gpus: The most GPUs of a replica; tensor parallelism stays within `node_gpus`.
        node_gpus: GPUs of a machine.
        price: Cost of a GPU-hour, in any currency; None if it is not known.

    Raises:
        InputError: A value is out of range.
    """

    weights: WeightPrecision = "bf16"
    cache: CachePrecision = "bf16"
    utilisation: float = 0.9
    reserve: int = 2 * GIB
    efficiency: float = 0.6
    margin: float = 0.3
    max_gpus: int = 8
    node_gpus: int = 8
    price: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("utilisation", "efficiency"):
            share: float = getattr(self, name)
            if not LEAST <= share <= 1:
                raise InputError(f"{name} is {share!r}. Fix: a share from {LEAST:g} to 1.")
        for name in ("margin", "reserve"):
            value: float = getattr(self, name)
            if not 0 <= value <= MOST:
                raise InputError(f"{name} is {value!r}. Fix: a number from 0 to {MOST:g}.")
        for name in ("max_gpus", "node_gpus", "price"):
            number: float | None = getattr(self, name)
            if number is not None:
                check_positive(name, number)


def check_positive(name: str, value: float) -> None:
    """Raise an `InputError` unless a value is a number above 0 that results stay finite with."""
    if not LEAST <= value <= MOST:
        raise InputError(f"{name} is {value!r}. Fix: a number from {LEAST:g} to {MOST:g}.")
