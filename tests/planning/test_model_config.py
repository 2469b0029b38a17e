import json
from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.planning.architecture import build_architecture
from ragkit.planning.model_config import parse_config, read_config
from ragkit.planning.model_table import MODELS

LLAMA = MODELS["llama-3-8b"]


def test_a_file_and_its_folder_are_read_as_the_known_model(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    file = folder / "config.json"
    file.write_text(json.dumps({**LLAMA, "architectures": ["LlamaForCausalLM"]}))
    known = read_config("llama-3-8b")[1]
    assert read_config(str(folder)) == ("my-model", known)
    assert read_config(str(file)) == ("my-model", known)


def test_the_text_part_of_a_model_that_sees_is_read() -> None:
    nested = {"model_type": "gemma3", "text_config": dict(MODELS["gemma-3-27b"])}
    assert parse_config(nested, source="x") == read_config("gemma-3-27b")[1]


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    value = {name: one for name, one in LLAMA.items() if name != field}
    with pytest.raises(InputError, match=rf"'my/config.json' lacks '{field}'. Fix: add it"):
        parse_config(value, source="my/config.json")


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("deepseek-v3", "kv_lora_rank"),
        ("deepseek-v3", "n_routed_experts"),
        ("mixtral-8x7b-v0.1", "num_local_experts"),
    ],
)
def test_a_model_is_not_planned_as_another_kind_where_a_field_is_missing(
    model: str, field: str
) -> None:
    value = {name: one for name, one in MODELS[model].items() if name != field}
    for incomplete in (value, {**value, field: None}):
        with pytest.raises(InputError, match=rf"lacks '{field}'. Fix: add it"):
            parse_config(incomplete, source="m")


@pytest.mark.parametrize("value", [0, -1, "4096", 1.5, True, None, 10**400])
def test_a_field_without_a_size_is_named(value: object) -> None:
    with pytest.raises(InputError, match=r"hidden_size = .*Fix: "):
        parse_config({**LLAMA, "hidden_size": value}, source="m")


def test_a_kind_of_model_that_is_not_known_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"'gpt2'.*Fix: .*llama.*deepseek_v3"):
        parse_config({**LLAMA, "model_type": "gpt2"}, source="m")
    with pytest.raises(InputError, match="lacks 'model_type'"):
        parse_config({}, source="m")
    with pytest.raises(InputError, match="model_type"):
        parse_config({**LLAMA, "model_type": ["llama"]}, source="m")


@pytest.mark.parametrize("model", ["", "llama-9", "no/such/folder", "x" * 5000, "a\0b"])
def test_a_model_that_is_not_known_lists_the_known(model: str) -> None:
    with pytest.raises(InputError, match=r"Fix: .*llama-3-8b.*deepseek-v3"):
        read_config(model)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_file_that_is_no_config_is_an_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(InputError, match=r"config.json.*Fix: "):
        read_config(str(tmp_path))


def test_a_folder_without_a_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json.*cannot be read"):
        read_config(str(tmp_path))


def test_a_model_in_the_hub_s_cache_has_its_own_name(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0a1b"
    blob.parent.mkdir()
    blob.write_text(json.dumps(LLAMA))
    config = tmp_path / "models--meta-llama--Llama-3-8B" / "snapshots" / "0a1b" / "config.json"
    config.parent.mkdir(parents=True)
    config.symlink_to(blob)
    assert read_config(str(config.parent))[0] == "meta-llama/Llama-3-8B"


@pytest.mark.parametrize(
    ("quantisation", "precision"),
    [
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "int4"),
        ({"quant_method": "other"}, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_precision_of_a_quantised_checkpoint_is_known(
    quantisation: dict[str, object] | None, precision: str | None, nested: bool
) -> None:
    config: dict[str, object] = {"text_config": dict(LLAMA)} if nested else dict(LLAMA)
    config["quantization_config"] = quantisation
    architecture = build_architecture("x", parse_config(config, source="x"))
    assert architecture.stored == precision
