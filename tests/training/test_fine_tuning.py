from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import InputError, Settings
from ragkit.core.settings import EmbedderSettings
from ragkit.models.build import build_embedder
from ragkit.models.packaged import packaged_folder
from ragkit.training.fine_tuning import FineTuning, train_embedder


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


async def test_an_embedder_is_trained_and_can_be_used(
    tmp_path: Path, pairs: Path, small_model: Path
) -> None:
    before = EmbedderSettings(model=f"sentence-transformers:{small_model}", device="cpu")
    settings, out = Settings(embedder=before), tmp_path / "tuned"
    assert train_embedder(settings, pairs, out, FineTuning(epochs=2, batch_size=4, rate=1e-3)) == 8
    tuned = before.model_copy(update={"model": f"sentence-transformers:{out}"})
    texts = ["What is number 3?", "It is 3."]
    old = await build_embedder(before).embed(texts)
    new = await build_embedder(tuned).embed(texts)
    assert new.shape == (2, 64)
    assert not np.allclose(old, new, atol=1e-3)


def test_one_pair_is_too_few(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"has 1 pairs\. Fix: pass 2 or more"):
        train_embedder(Settings(), file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
