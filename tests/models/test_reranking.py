from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import ProviderError
from ragkit.models.packaged import packaged_folder
from ragkit.models.reranking import CrossEncoderReranker


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of two small layers with random weights and a real tokenizer."""
    import transformers

    library: Any = transformers  # `Any`: its classes are only partly typed
    library.set_seed(0)
    folder = tmp_path_factory.mktemp("cross-encoder")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = library.BertConfig(**sizes, intermediate_size=64, num_labels=1)
    library.BertForSequenceClassification(config).save_pretrained(folder)
    library.AutoTokenizer.from_pretrained(packaged_folder()).save_pretrained(folder)
    return folder


async def test_each_passage_gets_a_score_of_its_own(cross_encoder: Path) -> None:
    part = CrossEncoderReranker(str(cross_encoder))
    scores = await part.rerank("a question", ["one passage", "another, longer passage", "third"])
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert len(set(scores.tolist())) == 3


async def test_a_score_does_not_depend_on_the_other_passages(cross_encoder: Path) -> None:
    part = CrossEncoderReranker(str(cross_encoder))
    alone = await part.rerank("a question", ["one passage"])
    among = await part.rerank("a question", ["a much longer passage " * 20, "one passage"])
    assert alone[0] == pytest.approx(among[1], abs=1e-4)


async def test_nothing_to_rerank_loads_nothing() -> None:
    assert (await CrossEncoderReranker("nowhere").rerank("a question", [])).shape == (0,)


async def test_a_model_that_is_not_there_is_named_with_the_setting() -> None:
    message = r"(?s)'no/such-model' cannot be loaded.*reranker\.model"
    with pytest.raises(ProviderError, match=message):
        await CrossEncoderReranker("no/such-model").rerank("a question", ["a passage"])
