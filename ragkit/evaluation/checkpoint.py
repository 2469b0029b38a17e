"""What an earlier run finished, kept by content, so that a killed run goes on where it was."""

import functools
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from ragkit.core.settings import Settings
from ragkit.core.types import Json

_PACKAGE = Path(__file__).parents[1]
_DECIDING = (
    "agents", "core", "evaluation", "index", "ingest", "llm", "models", "rag", "retrieval",
)  # fmt: skip
"""The parts of ragkit whose code decides what is found and answered, and what is kept of it."""
_READ_WHOLE = 1 << 20

T = TypeVar("T")


class Finished:
    """Results of queries by what decides them: the run's identity, the stage and the query."""

    def __init__(
        self, store: MutableMapping[str, str], *, identity: str, fresh: bool = False
    ) -> None:
        """Keep results in `store`; with `fresh` earlier ones are not used but replaced."""
        self._store = store
        self._identity = identity
        self._fresh = fresh

    async def once(self, kind: TypeAdapter[T], make: Callable[[], Awaitable[T]], *parts: str) -> T:
        """What was kept under these parts, or else is made now and kept."""
        key = digest(self._identity, *parts)
        kept = None if self._fresh else self._store.get(key)
        if kept is not None:
            return kind.validate_json(kept)
        made = await make()
        self._store[key] = kind.dump_json(made).decode()
        return made


def nothing_finished() -> Finished:
    """A place in memory for one run."""
    return Finished({}, identity="")


def digest(*parts: str) -> str:
    """SHA-256 of texts, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def setup_digest(settings: Settings) -> str:
    """A digest of the settings, the local models that they name, and ragkit's own code.

    Where the index lies and what its server's key is do not matter.
    """
    dumped = settings.model_dump_json(exclude={"tenant": True, "index": {"location", "api_key"}})
    files = [stamp for text in _texts(json.loads(dumped)) for stamp in _model_files(text)]
    return digest(dumped, *files, _code_digest())


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


def _model_files(setting: str) -> list[str]:
    """Name, size and time of the files that a setting names: `provider:folder`, or a path."""
    path = Path(setting.partition(":")[2] or setting)
    if path.is_file():
        return [stamp(path)]
    if ":" not in setting or not path.is_dir():
        return []
    return [stamp(file) for file in sorted(path.rglob("*")) if file.is_file()]


@functools.cache
def _code_digest() -> str:
    files = (path for part in _DECIDING for path in sorted((_PACKAGE / part).resolve().rglob("*")))
    kept = (path for path in files if path.is_file() and "__pycache__" not in path.parts)
    return digest(*(_content(path) for path in kept))


def _content(path: Path) -> str:
    if path.stat().st_size > _READ_WHOLE:
        return stamp(path)
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def stamp(path: Path) -> str:
    """Name, size and time of a file: what it is known by without being read."""
    facts = path.stat()
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"
