"""Sessions of ONNX Runtime on the CPU."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.core.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def onnx_session(
    graph: Path, *, weights: Path | None = None, spinning: bool = False
) -> "InferenceSession":
    """Open a graph, with as many threads as OMP_NUM_THREADS says, by default one for each core.

    Args:
        graph: The ONNX file.
        weights: The folder of the files that the graph's initializers refer to; they are mapped
            into memory.
        spinning: Whether its threads spin while they wait for each other. Long passes are a fifth
            shorter so; between short ones, they take the time of those that work.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", extra="local") from error
    runtime: Any = onnxruntime  # its classes are only partly typed
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if threads.isdigit():
        options.intra_op_num_threads = int(threads)  # ONNX Runtime itself does not read it
    if weights is not None:
        folder = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(folder, str(weights))
    # The graph's bytes: a path would have the runtime look for the weights beside it.
    session: InferenceSession = runtime.InferenceSession(
        graph.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return session
