from collections.abc import Mapping, Sequence
from typing import Any, Self

class Dataset:
    @classmethod
    def from_dict(cls, mapping: Mapping[str, Sequence[Any]]) -> Self: ...
