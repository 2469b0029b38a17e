"""A real llama.cpp server in this process, serving the small model with random weights."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SLOTS = 2


def missing() -> str | None:
    """Return the reason why no server can be started here, or None."""
    for module in ("xllamacpp", "gguf"):
        if find_spec(module) is None:
            return f"{module} is not installed. Fix: pip install {module}"
    return None


def write_gguf(folder: Path, file: Path) -> Path:
    """Write a model of `vllm_server.write_model` as llama.cpp reads it."""
    import numpy as np

    gguf: Any = import_module("gguf")
    safetensors: Any = import_module("safetensors.numpy")

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text())

    config, tokenizer = read("config.json"), read("tokenizer.json")
    writer = gguf.GGUFWriter(str(file), "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ids = {place: text for text, place in {**tokenizer["model"]["vocab"], **special}.items()}
    texts = [ids[place] for place in range(len(ids))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if text in special else normal for text in texts])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, tensor in safetensors.load_file(folder / "model.safetensors").items():
        writer.add_tensor(str(names.get_name(name, (".weight",))), tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@contextmanager
def serving(folder: Path, *, context: int, port: int) -> Generator[str]:
    """Serve the model of a folder until the block ends; yield the server's URL."""
    xllamacpp: Any = import_module("xllamacpp")  # it has no types
    file = write_gguf(folder, folder / "model.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {"random"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = SLOTS
    parameters.n_ctx = context * SLOTS
    parameters.warmup = False
    parameters.verbosity = 0
    parameters.use_jinja = True
    parameters.cpuparams.n_threads = 2
    server: Any = xllamacpp.Server(parameters)
    try:
        yield str(server.listening_address)
    finally:
        del server
