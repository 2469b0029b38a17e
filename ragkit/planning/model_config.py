"""Reading a model's config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.core.errors import InputError
from ragkit.planning.model_family import FAMILIES, ModelFamily
from ragkit.planning.model_table import MODELS
from ragkit.planning.precision import WeightPrecision

_FOUR_BITS = frozenset({"awq", "mxfp4", "nvfp4"})

Size = Annotated[int, Field(gt=0, le=10**9, strict=True)]
Layers = Annotated[int, Field(gt=0, le=10_000, strict=True)]
Count = Annotated[int, Field(ge=0, le=10**9, strict=True)]


class QuantizationConfig(BaseModel):
    """The quantisation of a checkpoint's weights."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    quant_method: str = ""
    bits: int | None = None

    @property
    def precision(self) -> WeightPrecision | None:
        """Return the precision that it is planned as, None where that is not known."""
        if self.quant_method == "fp8":
            return "fp8"
        if self.bits == 8:
            return "int8"
        return "int4" if self.bits == 4 or self.quant_method in _FOUR_BITS else None


class ModelConfig(BaseModel):
    """The fields of a config.json that sizes follow from; others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: str
    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    vocab_size: Size
    max_position_embeddings: Size
    tie_word_embeddings: bool
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    intermediate_size: Size | None = None
    attention_bias: bool = False

    sliding_window: Size | None = None
    use_sliding_window: bool = True
    max_window_layers: Count = 0
    sliding_window_pattern: Size | None = None
    layer_types: tuple[str, ...] | None = None

    kv_lora_rank: Size | None = None
    q_lora_rank: Size | None = None
    qk_nope_head_dim: Size | None = None
    qk_rope_head_dim: Size | None = None
    v_head_dim: Size | None = None

    num_local_experts: Count | None = None
    num_experts: Count | None = None
    n_routed_experts: Count | None = None
    num_experts_per_tok: Size | None = None
    moe_intermediate_size: Size | None = None
    n_shared_experts: Count | None = None
    shared_expert_intermediate_size: Count | None = None
    first_k_dense_replace: Count = 0
    moe_layer_freq: Size = 1
    decoder_sparse_step: Size = 1
    mlp_only_layers: tuple[int, ...] = ()

    full_attention_interval: Size | None = None
    linear_num_key_heads: Size | None = None
    linear_num_value_heads: Size | None = None
    linear_key_head_dim: Size | None = None
    linear_value_head_dim: Size | None = None
    linear_conv_kernel_dim: Size | None = None

    quantization_config: QuantizationConfig | None = None

    @property
    def family(self) -> ModelFamily:
        """The family of this `model_type`."""
        return FAMILIES[self.model_type]

    @property
    def experts(self) -> int:
        """Routed experts of a layer; 0 for a dense model."""
        return self.num_local_experts or self.num_experts or self.n_routed_experts or 0

    def need(self, field: str) -> int:
        """Return a size that this kind of model must have.

        Raises:
            InputError: The config has no such field.
        """
        value: int | None = getattr(self, field)
        if value is None:
            raise InputError(_lacks(f"The config of this {self.model_type!r} model", field))
        return value


_CACHED = "models--"
"""The beginning of a model's folder in the cache of the Hugging Face hub."""


def read_config(model: str) -> tuple[str, ModelConfig]:
    """Return the name and the config of a known model, a config.json, or a folder that has one.

    Raises:
        InputError: The name is unknown, or the file cannot be read or lacks a field.
    """
    if model in MODELS:
        return model, parse_config(MODELS[model], source=model)
    path = Path(model)
    if not model or not _exists(path):
        raise InputError(
            f"{model!r} is neither a known model nor a file or folder. Fix: name the model's "
            f"config.json or its folder, or one of: {', '.join(MODELS)}."
        )
    file = path / "config.json" if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{str(file)!r} cannot be read: {error}. Fix: name a model's config.json."
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{str(file)!r} is not a JSON object. Fix: name a model's config.json.")
    return _model_name(file), parse_config(cast("Mapping[str, object]", value), source=str(file))


def _model_name(file: Path) -> str:
    """Return the name of the folder, or of the model in the cache of the Hugging Face hub."""
    absolute = file.absolute()
    cached = [part for part in absolute.parts if part.startswith(_CACHED)]
    return cached[-1].removeprefix(_CACHED).replace("--", "/") if cached else absolute.parent.name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for a file, or a folder that may not be read
        return False


def parse_config(value: Mapping[str, object], *, source: str) -> ModelConfig:
    """Return a config; of a model that also sees or hears, the part for text.

    Raises:
        InputError: A field is missing or has no valid value, or the kind of model is not known.
    """
    text = value.get("text_config")
    if isinstance(text, dict):
        quantised = {"quantization_config": value.get("quantization_config")}
        value = {**quantised, **cast("Mapping[str, object]", text)}
    kind = value.get("model_type")
    if kind is None:
        raise InputError(_lacks(repr(source), "model_type"))
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise InputError(
            f"{source!r} has the model_type {kind!r}, whose layers are not known. "
            f"Fix: if it is built like one of these, set that as model_type: {', '.join(FAMILIES)}."
        )
    for field in FAMILIES[kind].needs:
        if value.get(field) is None:
            raise InputError(_lacks(repr(source), field))
    try:
        return ModelConfig.model_validate({**FAMILIES[kind].defaults, **value})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise InputError(_lacks(repr(source), field)) from error
        raise InputError(
            f"{source!r} has {field} = {first['input']!r}: {first['msg']}. "
            "Fix: use the value of the model's published config.json."
        ) from error


def _lacks(source: str, field: str) -> str:
    return f"{source} lacks {field!r}. Fix: add it, as in the model's published config.json."
