"""Digests of what decides a result: texts, settings, local models and ragkit's own code."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from ragkit.core.settings import Settings
from ragkit.core.types import Json

PACKAGE = Path(__file__).parents[1]
DECIDING = (
    "agents", "answering", "core", "evaluation", "grammar", "index", "ingest", "llm", "models",
    "retrieval", "sdk",
)  # fmt: skip
"""The packages of ragkit whose code decides what is found and answered."""
_READ_WHOLE = 1 << 20


def digest(*parts: str) -> str:
    """Return the SHA-256 of texts, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def settings_digest(settings: Settings) -> str:
    """Return a digest of the settings, the local models that they name, and ragkit's own code.

    The tenant, the index's location and its API key have no part in it.
    """
    dumped = settings.model_dump_json(exclude={"tenant": True, "index": {"location", "api_key"}})
    files = [stamp for text in _texts(json.loads(dumped)) for stamp in _model_files(text)]
    return digest(dumped, *files, _code_digest())


def file_stamp(path: Path) -> str:
    """Return name, size and time of a file, by which it is known without being read."""
    facts = path.stat()
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _model_files(setting: str) -> list[str]:
    """Stamps of the files that a setting names: `provider:folder`, or a path."""
    path = Path(setting.partition(":")[2] or setting)
    if path.is_file():
        return [file_stamp(path)]
    if ":" not in setting or not path.is_dir():
        return []
    return [file_stamp(file) for file in sorted(path.rglob("*")) if file.is_file()]


@functools.cache
def _code_digest() -> str:
    contents: list[str] = []
    for part in DECIDING:
        for path in sorted((PACKAGE / part).resolve().rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            large = path.stat().st_size > _READ_WHOLE
            content = hashlib.sha256(b"" if large else path.read_bytes()).hexdigest()
            contents.append(file_stamp(path) if large else f"{path.name} {content}")
    return digest(*contents)
