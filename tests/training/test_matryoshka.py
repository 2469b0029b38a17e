import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ragkit import InputError, Settings
from ragkit.cli.main import app
from ragkit.core.types import FloatArray
from ragkit.models.matryoshka import load_rotation
from ragkit.training.matryoshka import Examples, neighbours_kept, train_rotation

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"


def test_a_rotation_is_learned_from_documents_by_the_command(tmp_path: Path) -> None:
    out = tmp_path / "own" / "rotation.npy"
    call = ["train", "matryoshka", str(CORPUS), "--out", str(out), "--steps", "30", "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code in {0, 3}, result.output
    report = json.loads(result.stdout)
    assert load_rotation(out, dimensions=384).dtype == np.float32
    kept = report["neighbours_kept"]
    assert list(kept) == ["32", "64", "128", "256"]
    assert kept["64"]["rotated"] > kept["64"]["plain"]


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "matryoshka", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert "No texts to learn from" in json.loads(result.stdout)["error"]["message"]


def test_the_share_of_neighbours_that_a_prefix_keeps() -> None:
    passages: FloatArray = np.eye(20, dtype=np.float32)
    queries: FloatArray = (passages[:1] + passages[1:2] / 2).astype(np.float32)
    assert neighbours_kept(queries, passages, 20) == 1.0
    assert neighbours_kept(passages[10:11], passages, 5) < 1.0


async def test_a_place_that_cannot_be_written_to_is_an_error_before_learning(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be a folder"):
        await train_rotation(Settings(), Examples(), tmp_path / "file" / "rotation.npy")


async def test_a_file_with_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Fix: use \.npy"):
        await train_rotation(Settings(), Examples(), tmp_path / "rotation.npz")
