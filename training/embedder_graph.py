"""Write the ONNX graph of all-MiniLM-L6-v2, which holds no weights itself, and print its hash.

    python -m training.embedder_graph GRAPH.onnx

Each initializer refers to its bytes in the model's safetensors file (`external_data` with offset
and length), so the graph takes some kilobytes and the weights are the published ones. Nodes are
ONNX Runtime's fused operators (com.microsoft), so that nothing is left to optimise when a session
is created. Needs `pip install onnx`.
"""

import argparse
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from ragkit.models.packaged import MINILM, file_sha256, verified_folder

_OPSETS = (("", 17), ("com.microsoft", 1))
_EPSILON = 1e-12
_LAYERS, _HEADS = 6, 12
_TYPES = {"F32": TensorProto.FLOAT}
_OUTPUTS = {"EmbedLayerNormalization": 2}


@dataclass(slots=True)
class GraphWriter:
    """Collects the nodes of a graph; each method adds one and returns its output's name."""

    nodes: list[Any] = field(default_factory=list[Any])  # onnx's messages are untyped
    used: list[str] = field(default_factory=list[str])

    def add(self, kind: str, *inputs: str, domain: str = "com.microsoft", **attributes: Any) -> str:
        """Add a node; return the name of its first output."""
        name = f"{kind}_{len(self.nodes)}"
        outputs = [name, f"{name}_unused"][: _OUTPUTS.get(kind, 1)]
        node = helper.make_node(kind, list(inputs), outputs, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def weight(self, name: str) -> str:
        """Use a tensor of the safetensors file."""
        if name not in self.used:
            self.used.append(name)
        return name

    def linear(self, states: str, name: str) -> str:
        """Multiply by a weight `[out, in]`, as PyTorch stores it."""
        return self.add("FusedMatMul", states, self.weight(f"{name}.weight"), transB=1)

    def added_norm(self, states: str, skip: str, bias: str, norm: str) -> str:
        """Normalise the sum of states, skip connection and bias."""
        return self.add(
            "SkipLayerNormalization",
            states,
            skip,
            self.weight(f"{norm}.weight"),
            self.weight(f"{norm}.bias"),
            self.weight(bias),
            epsilon=_EPSILON,
        )


def embedder_graph(tensors: Mapping[str, Any], *, start: int) -> onnx.ModelProto:
    """Build the graph from token ids and mask, int32 `[n, tokens]`, to unit vectors `[n, 384]`.

    Args:
        tensors: The header of the safetensors file.
        start: The offset of the first tensor in the file.
    """
    graph = GraphWriter()
    states = graph.add(
        "EmbedLayerNormalization",
        "input_ids",
        graph.add("Sub", "input_ids", "input_ids", domain=""),
        *(graph.weight(f"embeddings.{kind}_embeddings.weight") for kind in _EMBEDDINGS),
        graph.weight("embeddings.LayerNorm.weight"),
        graph.weight("embeddings.LayerNorm.bias"),
        epsilon=_EPSILON,
    )
    for number in range(_LAYERS):
        states = _layer(graph, states, f"encoder.layer.{number}")
    mask = graph.add("Cast", "attention_mask", domain="", to=TensorProto.FLOAT)
    column = graph.add("Unsqueeze", mask, "last_axis", domain="")
    masked = graph.add("Mul", states, column, domain="")
    total = graph.add("ReduceSum", masked, "token_axis", domain="", keepdims=0)
    # The mean over tokens differs from the sum by a factor only, which the norm removes.
    graph.nodes.append(helper.make_node("LpNormalization", [total], ["embeddings"], axis=-1, p=2))
    return _model(graph, tensors, start=start)


_EMBEDDINGS = ("word", "position", "token_type")


def _layer(graph: GraphWriter, states: str, name: str) -> str:
    attention = f"{name}.attention"
    bias = graph.add(
        "Concat",
        *(graph.weight(f"{attention}.self.{part}.bias") for part in ("query", "key", "value")),
        domain="",
        axis=0,
    )
    attended = graph.add(
        "MultiHeadAttention",
        *(graph.linear(states, f"{attention}.self.{part}") for part in ("query", "key", "value")),
        bias,
        "attention_mask",
        num_heads=_HEADS,
    )
    projected = graph.linear(attended, f"{attention}.output.dense")
    states = graph.added_norm(
        projected, states, f"{attention}.output.dense.bias", f"{attention}.output.LayerNorm"
    )
    wide = graph.linear(states, f"{name}.intermediate.dense")
    active = graph.add("BiasGelu", wide, graph.weight(f"{name}.intermediate.dense.bias"))
    narrow = graph.linear(active, f"{name}.output.dense")
    return graph.added_norm(narrow, states, f"{name}.output.dense.bias", f"{name}.output.LayerNorm")


def _model(graph: GraphWriter, tensors: Mapping[str, Any], *, start: int) -> onnx.ModelProto:
    shape = ["texts", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, shape)
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["texts", 384])
    axes = [
        helper.make_tensor(name, TensorProto.INT64, [1], [axis])
        for name, axis in (("last_axis", 2), ("token_axis", 1))
    ]
    weights = [_external(name, tensors[name], start=start) for name in graph.used]
    built = helper.make_graph(graph.nodes, "all-minilm-l6-v2", inputs, [output], [*axes, *weights])
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    return helper.make_model(built, opset_imports=opsets, ir_version=8, producer_name="ragkit")


def _external(name: str, tensor: Mapping[str, Any], *, start: int) -> TensorProto:
    first, last = tensor["data_offsets"]
    found = TensorProto(
        name=name,
        dims=tensor["shape"],
        data_type=_TYPES[tensor["dtype"]],
        data_location=TensorProto.EXTERNAL,
    )
    entries = {"location": "model.safetensors", "offset": start + first, "length": last - first}
    for key, value in entries.items():
        found.external_data.add(key=key, value=str(value))
    return found


def main() -> None:
    """Write the graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with (verified_folder(MINILM) / "model.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(size))
    model = embedder_graph(tensors, start=8 + size)
    options.out.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{options.out}: {options.out.stat().st_size} bytes, {file_sha256(options.out)}")


if __name__ == "__main__":
    main()
