import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli.main import app
from ragkit.planning.model_table import MODELS


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("plan", *arguments))


def _json(*arguments: str) -> Any:  # JSON of any shape
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_plan_is_a_table() -> None:
    result = _run("llama-3-8b", "--gpu", "H100", "--price", "2.5", "--chunks", "1000")
    assert result.exit_code == 0
    for part in (
        "8.03 billion",
        "vllm serve MODEL --max-model-len=2300",
        "price per million tokens",
        "binary",
    ):
        assert part in result.stdout


def test_a_plan_is_json_too() -> None:
    found = _json("llama-3-70b", "--gpu", "h200", "--rate", "2", "--weights", "fp8")
    serving = found["serving"]
    assert found["vector_store"] is None
    assert serving["model"]["parameters"] == 70_553_706_496
    assert serving["model"]["token_bytes"] == {"bf16": 327680, "fp8": 163840}
    assert serving["layout"]["weights"] == "fp8"
    assert "--quantization=fp8" in serving["flags"]
    assert serving["prefill"]["limit"] == "compute"


def test_options_reach_the_plan() -> None:
    base = ("llama-3-8b", "--gpu", "L40S", "--rate", "5")
    plain = _json(*base)["serving"]
    fast = _json(*base, "--tpot", "0.03", "--ttft", "1", "--prompt", "1000", "--output", "50")
    assert fast["serving"]["expected"]["tpot_s"] <= 0.03
    assert _json(*base, "--margin", "5")["serving"]["layout"]["gpus"] > plain["layout"]["gpus"]
    ideal = _json(*base, "--efficiency", "1")["serving"]
    assert ideal["layout"]["capacity"] > plain["layout"]["capacity"]
    one, half = (*base, "--max-gpus", "1"), ("--gpu-memory", "0.5")
    less, more = _json(*one, *half)["serving"], _json(*one)["serving"]
    assert less["layout"]["max_sequences"] < more["layout"]["max_sequences"]
    shared = _json(*base, "--shared-prefix", "0.5", "--kv-cache", "fp8")["serving"]
    assert {"--enable-prefix-caching", "--kv-cache-dtype=fp8"} <= set(shared["flags"])


def test_a_folder_with_a_config_is_planned(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODELS["qwen3-8b"]))
    found = _json(str(tmp_path), "--gpu", "L40S")["serving"]
    assert found["model"]["name"] == tmp_path.name
    assert found["model"]["parameters"] == 8_190_735_360


def test_a_quantised_checkpoint_is_planned_as_asked_with_a_note(tmp_path: Path) -> None:
    awq = {**MODELS["qwen3-8b"], "quantization_config": {"quant_method": "awq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(awq))
    arguments = (str(tmp_path), "--gpu", "H100", "--weights")
    for weights, is_noted in (("bf16", True), ("fp8", True), ("int4", False)):
        found = _json(*arguments, weights)["serving"]
        assert any("--weights int4 plans them" in one for one in found["notes"]) is is_noted
        assert not any(flag.startswith("--quantization") for flag in found["flags"])


def test_an_index_is_planned_without_a_model() -> None:
    found = _json("--chunks", "1000", "--dimensions", "64", "--embed-rate", "10")
    assert found["serving"] is None
    assert found["vector_store"]["search_dimensions"] == 64
    assert found["vector_store"]["embed_s"] == 100
    assert _json("--chunks", "1000")["vector_store"]["search_dimensions"] == 128
    assert "time to embed" in _run("--chunks", "1000", "--embed-rate", "10").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Fix: ragkit plan MODEL --gpu GPU"),
        (("llama-3-8b",), "Fix: --gpu with one of B200"),
        (("llama-3-8b", "--gpu", "K80"), "'K80' is not known"),
        (("gpt-9", "--gpu", "H100"), "'gpt-9' is neither"),
        (("llama-3-8b", "--gpu", "H100", "--rate", "-1"), "rate is -1.0"),
        (("llama-3-8b", "--gpu", "H100", "--rate", "nan"), "rate is nan"),
        (("deepseek-v3", "--gpu", "L4"), "Fix: --max-gpus"),
        (("--chunks", "0"), "chunks is 0"),
        (("--chunks", "9", "--gpu", "H100"), "--gpu H100 plans nothing without a model"),
        (("--chunks", "9", "--rate", "nan"), "rate is nan"),
        (("--chunks", "9", "--search-dimensions", "0"), "search_dimensions is 0"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    told = json.loads(_run(*arguments, "--json").stdout)
    assert message in told["error"]["message"]


@pytest.mark.parametrize("wrong", [("--weights", "fp16"), ("--gpus", "2"), ("--kv-cache", "int4")])
def test_a_misspelled_option_is_an_error(wrong: tuple[str, str]) -> None:
    assert _run("llama-3-8b", "--gpu", "H100", *wrong).exit_code == 2
