from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ragkit import ConfigError, InputError
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.build import build_embedder
from ragkit.models.matryoshka import Texts, fit_rotation, load_rotation, principal_rotation

SIZE = 48
UNITS: FloatArray = np.eye(SIZE, dtype=np.float32)


def _unit(rows: npt.NDArray[Any]) -> FloatArray:
    scaled: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


@pytest.fixture(scope="module")
def texts() -> Texts:
    """Vectors that differ in 12 directions much, and in all others a little."""
    draw = np.random.default_rng(0)
    strength = np.where(np.arange(SIZE) < 12, 1.0, 0.1)
    turned = np.linalg.qr(draw.normal(size=(SIZE, SIZE)))[0]
    passages = draw.normal(size=(600, SIZE)) * strength @ turned
    queries = passages[:200] + 0.2 * draw.normal(size=(200, SIZE)) * strength @ turned
    return Texts(queries=_unit(queries), passages=_unit(passages))


def _kept(texts: Texts, matrix: FloatArray, prefix: int) -> float:
    """Share of queries whose nearest passage by whole vectors is nearest by the prefix."""
    whole: list[int] = (texts.queries @ texts.passages.T).argmax(axis=1).tolist()
    near, far = _unit((texts.queries @ matrix)[:, :prefix]), (texts.passages @ matrix)[:, :prefix]
    found: list[int] = (near @ _unit(far).T).argmax(axis=1).tolist()
    return sum(a == b for a, b in zip(found, whole, strict=True)) / len(whole)


@pytest.mark.parametrize("steps", [0, 60])
def test_whole_vectors_keep_their_similarities(texts: Texts, steps: int) -> None:
    matrix = fit_rotation([texts], prefixes=(8, 16), steps=steps)
    before = texts.queries @ texts.passages.T
    after = (texts.queries @ matrix) @ (texts.passages @ matrix).T
    assert np.allclose(before, after, atol=1e-5)


def test_prefixes_keep_more_than_before(texts: Texts) -> None:
    plain = _kept(texts, UNITS, 8)
    components = _kept(texts, fit_rotation([texts], prefixes=(8, 16), steps=0), 8)
    learnt = _kept(texts, fit_rotation([texts], prefixes=(8, 16), steps=150), 8)
    assert plain < components <= learnt


def test_the_same_seed_gives_the_same_rotation(texts: Texts) -> None:
    first, second = (fit_rotation([texts], prefixes=(8,), steps=5, seed=3) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("sets", "prefixes", "message"),
    [
        ([], (8,), "No texts"),
        ([Texts(queries=UNITS[:3], passages=UNITS[:3])], (8,), "6 texts are too few"),
        ([Texts(queries=UNITS, passages=UNITS)], (8, 48), r"got \[48\]"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(
    sets: list[Texts], prefixes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit_rotation(sets, prefixes=prefixes, steps=1)


def test_a_file_that_holds_no_rotation_is_refused(tmp_path: Path, texts: Texts) -> None:
    file = tmp_path / "rotation.npy"
    with pytest.raises(ConfigError, match="ragkit train matryoshka"):
        load_rotation(file, dimensions=SIZE)
    np.save(file, principal_rotation(texts.passages) * 2)
    with pytest.raises(ConfigError, match="not orthogonal"):
        load_rotation(file, dimensions=SIZE)
    with pytest.raises(ConfigError, match=r"shape \(48, 48\)"):
        load_rotation(file, dimensions=384)
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_rotation(file, dimensions=SIZE)
    np.savez(tmp_path / "rotation.npz", np.eye(SIZE))
    with pytest.raises(ConfigError, match="archive"):
        load_rotation(tmp_path / "rotation.npz", dimensions=SIZE)


async def test_the_packaged_model_is_rotated_and_keeps_its_similarities() -> None:
    sentences = ["Cats at home.", "Feline pets.", "The stock exchange closed.", "Shares fell."]
    plain = build_embedder(EmbedderSettings(rotation=None))
    rotated = build_embedder(EmbedderSettings())
    before, after = await plain.embed(sentences), await rotated.embed(sentences)
    assert np.allclose(before @ before.T, after @ after.T, atol=1e-4)
    assert not np.allclose(before, after, atol=1e-2)
    assert plain.identity != rotated.identity
    for none in ("none", ""):
        named = build_embedder(EmbedderSettings(rotation=none))
        assert named.identity == plain.identity


async def test_a_rotation_of_one_s_own_is_used(tmp_path: Path) -> None:
    file = tmp_path / "rotation.npy"
    np.save(file, np.eye(384, dtype=np.float32)[::-1])
    plain = build_embedder(EmbedderSettings(rotation=None))
    own = build_embedder(EmbedderSettings(rotation=str(file)))
    before, after = await plain.embed(["Cats."]), await own.embed(["Cats."])
    assert np.allclose(before[:, ::-1], after, atol=1e-5)
