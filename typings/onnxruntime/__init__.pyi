from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

class InferenceSession:
    def __init__(self, path: str, *, providers: Sequence[str]) -> None: ...
    def run(
        self, output_names: Sequence[str], input_feed: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]: ...
