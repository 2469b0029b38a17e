from typing import Any

import pytest

from ragkit.models.onnx_session import onnx_session
from ragkit.models.packaged import CROSS_ENCODER, verified_weights


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("2,1", 2), ("", 0), ("many", 0)])
def test_a_session_has_the_threads_that_the_user_says(
    monkeypatch: pytest.MonkeyPatch, said: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    session: Any = onnx_session(verified_weights(CROSS_ENCODER))  # it is only partly typed
    assert session.get_session_options().intra_op_num_threads == threads
