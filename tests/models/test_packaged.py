import hashlib
from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError
from ragkit.models import packaged


def test_every_packaged_file_has_its_published_hash() -> None:
    assert (packaged.verified_folder(packaged.MINILM) / "model.safetensors").is_file()
    for weights in (packaged.CROSS_ENCODER, *packaged.ROTATIONS.values()):
        assert packaged.verified_weights(weights).is_file()


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.setattr(packaged, "packaged_folder", lambda: tmp_path)
    packaged.verified_folder.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"not the published ones.*--force-reinstall"):
            packaged.verified_folder(packaged.MINILM)
    finally:
        packaged.verified_folder.cache_clear()


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "WEIGHTS", tmp_path)
    with pytest.raises(ConfigError, match="SHA-256 missing"):
        packaged.verified_weights(packaged.PackagedWeights(file="none.npy", sha256="0"))


def test_every_file_in_weights_has_its_model_card() -> None:
    card = (packaged.WEIGHTS / "README.md").read_text()
    files = {path.name for path in packaged.WEIGHTS.iterdir()} - {"README.md"}
    assert all(f"## {name}" in card for name in files)


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc" * 100_000)
    assert packaged.file_sha256(file) == hashlib.sha256(b"abc" * 100_000).hexdigest()
