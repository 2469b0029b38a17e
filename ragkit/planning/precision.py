"""Bytes of a weight and of a cached value, by precision."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

WeightPrecision: TypeAlias = Literal["bf16", "fp8", "int8", "int4"]
CachePrecision: TypeAlias = Literal["bf16", "fp8"]

GROUP = 128
"""Weights that share a scale and a zero point in AWQ and GPTQ."""

WEIGHT_BYTES: Mapping[WeightPrecision, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": (4 + (16 + 4) / GROUP) / 8,  # 16 bits of scale and 4 of zero point for each group
}
CACHE_BYTES: Mapping[CachePrecision, int] = {"bf16": 2, "fp8": 1}
UNQUANTISED_BYTES = 2
"""Embeddings and the output head stay in bf16 whatever the precision of the other weights is."""
STATE_BYTES = 4
"""The state of linear attention is kept in float32."""
