import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ragkit import InputError, Settings
from ragkit.cli.main import app
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.embedding import SentenceTransformerEmbedder
from ragkit.models.matryoshka import load_rotation
from ragkit.models.packaged import packaged_folder
from ragkit.training.embedder import (
    Examples,
    Schedule,
    load_pairs,
    neighbours_kept,
    train_embedder,
    train_rotation,
)

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"query": f"What is number {number}?", "positive": f"It is {number}.", "title": "Numbers"}
        for number in range(8)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A sentence-transformers model of two small layers with random weights."""
    import transformers
    from sentence_transformers import SentenceTransformer

    library: Any = transformers  # `Any`: its classes are only partly typed
    library.set_seed(0)
    plain, folder = tmp_path / "bert", tmp_path / "small"
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    library.BertModel(library.BertConfig(**sizes, intermediate_size=64)).save_pretrained(plain)
    library.AutoTokenizer.from_pretrained(packaged_folder()).save_pretrained(plain)
    model = SentenceTransformer(str(plain))
    model.max_seq_length = 64
    model.save(str(folder))
    return folder


def test_a_rotation_is_learnt_from_documents_by_the_command(tmp_path: Path) -> None:
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


async def test_an_embedder_is_trained_and_can_be_used(
    tmp_path: Path, pairs: Path, small_model: Path
) -> None:
    before = EmbedderSettings(model=f"sentence-transformers:{small_model}", device="cpu")
    settings, out = Settings(embedder=before), tmp_path / "tuned"
    assert train_embedder(settings, pairs, out, Schedule(epochs=2, batch_size=4, rate=1e-3)) == 8
    tuned = before.model_copy(update={"model": f"sentence-transformers:{out}"})
    texts = ["What is number 3?", "It is 3."]
    old = await SentenceTransformerEmbedder(before).embed(texts)
    new = await SentenceTransformerEmbedder(tuned).embed(texts)
    assert new.shape == (2, 64)
    assert not np.allclose(old, new, atol=1e-3)


def test_a_line_that_is_no_pair_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "a", "positive": "b"}\n{"query": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: 'positive': Field required"):
        load_pairs(file)


def test_the_share_of_neighbours_that_a_prefix_keeps() -> None:
    passages: FloatArray = np.eye(20, dtype=np.float32)
    queries: FloatArray = (passages[:1] + passages[1:2] / 2).astype(np.float32)
    assert neighbours_kept(queries, passages, 20) == 1.0
    assert neighbours_kept(passages[10:11], passages, 5) < 1.0


async def test_a_place_that_cannot_be_written_to_is_told_before_learning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be a folder"):
        await train_rotation(Settings(), Examples(), tmp_path / "file" / "rotation.npy")
