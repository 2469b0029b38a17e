from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

class BM25Okapi:
    def __init__(self, corpus: Sequence[Sequence[str]], *, k1: float = ..., b: float = ...) -> None: ...
    def get_scores(self, query: Sequence[str]) -> npt.NDArray[np.float64]: ...
