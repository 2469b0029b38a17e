"""Sessions of ONNX Runtime on the CPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.core.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def onnx_session(graph: Path, *, weights: Path | None = None) -> "InferenceSession":
    """Open a graph.

    Args:
        graph: The ONNX file.
        weights: The folder of the files that the graph's initializers refer to; they are mapped
            into memory.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", extra="local") from error
    runtime: Any = onnxruntime  # its classes are only partly typed
    options = runtime.SessionOptions()
    # Threads that spin while they wait take the time of those that work, where cores are few.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if weights is not None:
        folder = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(folder, str(weights))
    # The graph's bytes: a path would have the runtime look for the weights beside it.
    session: InferenceSession = runtime.InferenceSession(
        graph.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return session
