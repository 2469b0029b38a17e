"""GPUs: memory, bandwidth and dense tensor-core rates, from NVIDIA's data sheets.

Memory is what the driver reports (nvidia-smi), which is what a server can have. Rates are without
sparsity and with accumulation in float32, in units of 10^12 operations a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.planning.precision import WeightPrecision

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A type of GPU.

    Attributes:
        memory: Bytes.
        bandwidth: Bytes per second.
        bf16: Dense operations per second in bf16.
        eight_bit: Dense operations per second by precision: fp8, int8; absent where there are none.
        source: The data sheet.
    """

    name: str
    memory: int
    bandwidth: float
    bf16: float
    eight_bit: Mapping[WeightPrecision, float]
    source: str

    def rate(self, weights: WeightPrecision) -> float:
        """Return the operations per second with weights of a precision.

        Weights that the tensor cores do not take (int4; fp8 on Ampere) are widened to bf16.
        """
        return self.eight_bit.get(weights, self.bf16)


def _gpu(  # noqa: PLR0913  # a row of the table
    name: str, mib: int, gb_s: float, bf16: float, fp8: float | None, int8: float, source: str
) -> Gpu:
    eight_bit: dict[WeightPrecision, float] = {"int8": int8 * 1e12}
    if fp8 is not None:
        eight_bit["fp8"] = fp8 * 1e12
    return Gpu(
        name=name,
        memory=mib * MIB,
        bandwidth=gb_s * 1e9,
        bf16=bf16 * 1e12,
        eight_bit=eight_bit,
        source=source,
    )


GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        _gpu("B200", 183359, 8000, 2250, 4500, 4500, "NVIDIA Blackwell datasheet (HGX B200)"),
        _gpu("H200", 143771, 4800, 989.5, 1979, 1979, "NVIDIA H200 datasheet (SXM)"),
        _gpu("H100", 81559, 3350, 989.5, 1979, 1979, "NVIDIA H100 datasheet (SXM)"),
        _gpu("A100-80GB", 81920, 2039, 312, None, 624, "NVIDIA A100 datasheet (SXM)"),
        _gpu("A100-40GB", 40960, 1555, 312, None, 624, "NVIDIA A100 datasheet (SXM)"),
        _gpu("L40S", 46068, 864, 362.05, 733, 733, "NVIDIA L40S datasheet"),
        _gpu("L4", 23034, 300, 121, 242.5, 242.5, "NVIDIA L4 datasheet"),
        _gpu("RTX-4090", 24564, 1008, 165.2, 330.3, 660.6, "NVIDIA Ada architecture whitepaper"),
    )
}


def find_gpu(name: str) -> Gpu:
    """Return a GPU by its name, in any case and with spaces or hyphens.

    Raises:
        InputError: The name is unknown; the message lists the known ones.
    """
    wanted = name.strip().replace(" ", "-").replace("_", "-").casefold()
    for known, gpu in GPUS.items():
        if known.casefold() == wanted:
            return gpu
    raise InputError(f"The GPU {name!r} is not known. Fix: one of {', '.join(GPUS)}.")
