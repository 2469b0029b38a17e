"""Write a trained reader and reranker as int8 ONNX, and print its hash.

    python -m training.export OUT/model.safetensors WEIGHTS.onnx

Weights of all matrices become int8, one scale for each tensor; activations are quantised as they
come (dynamic quantisation of ONNX Runtime). Needs `pip install onnx`.
"""

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from safetensors.torch import load_file

from ragkit.models.packaged import file_sha256, packaged_folder
from training.network import ReaderReranker

_OPSET = 17


def export(weights: Path, out: Path) -> None:
    """Export, simplify, quantise."""
    model = ReaderReranker(packaged_folder()).eval()
    model.load_state_dict(load_file(weights), strict=True)
    ids = torch.randint(1000, 20000, (4, 50))
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    shape = {0: "pairs", 1: "tokens"}
    names = ("input_ids", "attention_mask", "token_type_ids")
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, on shapes that do not change
        plain, ready = Path(folder, "plain.onnx"), Path(folder, "ready.onnx")
        torch.onnx.export(
            model,
            inputs,
            str(plain),
            input_names=list(names),
            output_names=["relevance", "spans"],
            dynamic_axes={**dict.fromkeys(names, shape), "relevance": {0: "pairs"}, "spans": shape},
            dynamo=False,
            opset_version=_OPSET,
        )
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        quantize_dynamic(ready, out, weight_type=QuantType.QInt8)


def main() -> None:
    """Export and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    export(options.weights, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {file_sha256(options.out)}")


if __name__ == "__main__":
    main()
