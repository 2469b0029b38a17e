"""The double of an embedder keeps the contract of one."""

import numpy as np

from ragkit.testing import EmbedderContract, HashEmbedder
from ragkit.testing.embedder import WordTokenizer


class TestHashEmbedder(EmbedderContract):
    tolerance = 1e-6

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> HashEmbedder:
        return HashEmbedder(
            dimensions=dimensions or 256, query_prompt=query_prompt, passage_prompt=passage_prompt
        )


async def test_the_vectors_are_the_same_on_every_machine() -> None:
    vector = (await HashEmbedder(dimensions=8).embed(["wolf"]))[0]
    signs = "".join("+" if value > 0 else "-" for value in vector)
    assert signs == "++-+-+--"


async def test_texts_that_share_stems_are_near_each_other() -> None:
    near, same, far = await HashEmbedder(dimensions=256).embed(
        ["a hunting wolf", "a wolf hunts", "interest rates"]
    )
    assert near @ same > 0.9
    assert abs(float(near @ far)) < 0.3


async def test_stems_that_cancel_each_other_out_have_a_vector() -> None:
    vectors = await HashEmbedder(dimensions=1).embed([f"word{n} other{n}" for n in range(20)])
    np.testing.assert_allclose(np.abs(vectors), 1)


def test_a_token_is_a_word() -> None:
    tokenizer = WordTokenizer(max_tokens=3)
    assert tokenizer.token_starts(" the  wolf\nhunts") == [1, 6, 11]
    assert tokenizer.max_tokens == 3
