"""The folder of an embedded index: its creation, its identity, and the space on its disk."""

import errno
import shlex
import shutil
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as qe
from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.core.errors import IndexMismatch, InputError, ProviderError
from ragkit.core.filters import BUILT_IN_FIELDS
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index import layout, validation
from ragkit.index.build import SHARD_FILE
from ragkit.index.edge_points import FIELD_PARAMS, text_params

PROVIDER = "qdrant-edge"
MIN_FREE_BYTES = 128 * 2**20
COPY = "ragkit.copy"
"""A copy of the engine's files that is being optimized."""
_NEXT, _REPLACED = "ragkit.next", "ragkit.replaced"
"""A copy that is to take the place of the engine's files, and those that it took it from."""
_WRITES = "ragkit.writes"
_ENGINE_FILES = ("segments", "wal")
_GENERATION = "ragkit.generation-"
"""The beginning of the name of a folder in which the index is built again."""


class WriteCounts(BaseModel):
    """The chunks that were written or removed so far, and those before the last optimization.

    Every change adds at least 1 to `total`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    total: int = 0
    optimized: int = 0


def exists(path: Path) -> bool:
    """Return whether a folder holds a shard."""
    return (path / SHARD_FILE).is_file()


def create(
    path: Path, identity: IndexIdentity, fields: Mapping[str, FieldType], config: qe.EdgeConfig
) -> None:
    """Create an index in an empty or new folder; another process may do so at the same time.

    Raises:
        InputError: The folder holds other files, or cannot be renamed into.
        ProviderError: The disk is full.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{str(path)!r} holds other files. Fix: choose an empty or new folder for the index."
        )
    path = path.absolute()
    if path.resolve() == Path.cwd():
        raise InputError("The working folder cannot become an index. Fix: name a folder in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_space(path.parent, 0, for_what="a new index")
    # Built beside its place and renamed, so that a crash never leaves half an index.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    draft.mkdir()
    try:
        _build(draft, identity, fields, config)
        draft.replace(path)
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.EXDEV}:
            raise InputError(
                f"{str(path)!r} is a mount point or a folder in use. Fix: choose a folder inside "
                "it."
            ) from error
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # Another process created the index first; its identity is checked when it is opened.
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_writes(path: Path) -> WriteCounts:
    """Return the counts of writes; zeros for an index that has none."""
    try:
        return WriteCounts.model_validate_json((path / _WRITES).read_bytes())
    except (FileNotFoundError, ValidationError):
        return WriteCounts()


def store_writes(path: Path, counts: WriteCounts) -> None:
    """Store the counts of writes; a crash or a full disk leaves the old ones."""
    draft = path / f"{_WRITES}.new"
    draft.write_text(counts.model_dump_json())
    draft.replace(path / _WRITES)


def count_writes(path: Path, chunks: int) -> None:
    """Count a change of this many chunks, before it is made."""
    counts = read_writes(path)
    total = counts.total + max(1, chunks)
    store_writes(path, counts.model_copy(update={"total": total}))


def copy(path: Path) -> None:
    """Copy the engine's files, which nobody writes meanwhile, to `COPY`."""
    draft = path / COPY
    draft.mkdir()
    shutil.copy2(path / SHARD_FILE, draft)
    for name in _ENGINE_FILES:
        shutil.copytree(path / name, draft / name)


def take_copy(path: Path) -> None:
    """Put the files of `COPY` in the place of the engine's, which is closed."""
    (path / COPY).replace(path / _NEXT)
    finish_replacement(path)


def finish_replacement(path: Path) -> None:
    """Finish what `take_copy` or `take_generation` began, if a crash came in between."""
    following = path / _NEXT
    if not following.is_dir():
        return
    shutil.rmtree(path / _REPLACED, ignore_errors=True)
    (path / _REPLACED).mkdir()
    for name in _ENGINE_FILES:
        if (following / name).is_dir():
            if (path / name).is_dir():
                (path / name).replace(path / _REPLACED / name)
            (following / name).replace(path / name)
    if (following / SHARD_FILE).is_file():
        (following / SHARD_FILE).replace(path / SHARD_FILE)
    shutil.rmtree(following)


def generation_folder(path: Path, name: str) -> Path:
    """Return the folder in an index's own in which it is built again; the others are removed."""
    wanted = path / f"{_GENERATION}{name}"
    for found in [*path.glob(f"{_GENERATION}*"), *path.glob(f".{_GENERATION}*.new")]:
        if found != wanted:
            shutil.rmtree(found, ignore_errors=True)
    return wanted


def take_generation(path: Path, generation: Path) -> None:
    """Put a folder in which the index was built again in the place of its files.

    Neither is open anywhere. A crash leaves the old files or the new ones for the next opening.
    """
    # An optimizer that copied the old files sees that its copy was overtaken.
    count_writes(path, 0)
    generation.replace(path / _NEXT)
    finish_replacement(path)
    total = read_writes(path).total
    store_writes(path, WriteCounts(total=total, optimized=total))
    shutil.rmtree(path / _REPLACED, ignore_errors=True)


def remove_copies(path: Path) -> None:
    """Remove copies that are not needed any more."""
    for name in (COPY, _REPLACED):
        shutil.rmtree(path / name, ignore_errors=True)


def _build(
    draft: Path, identity: IndexIdentity, fields: Mapping[str, FieldType], config: qe.EdgeConfig
) -> None:
    shard = qe.EdgeShard.create(str(draft), config)
    try:
        shard.update(qe.UpdateOperation.create_field_index("text", text_params(identity.language)))
        for key, kind in layout.PAYLOAD_INDEXES.items():
            _index_field(shard, key, kind)
        store_fields(shard, identity, {}, fields)
    finally:
        shard.close()


def _index_field(shard: qe.EdgeShard, key: str, kind: FieldType) -> None:
    params = qe.KeywordIndexParams(is_tenant=True) if key == "tenant" else FIELD_PARAMS[kind]()
    shard.update(qe.UpdateOperation.create_field_index(key, params))


def store_fields(
    shard: qe.EdgeShard,
    identity: IndexIdentity,
    old: Mapping[str, FieldType],
    new: Mapping[str, FieldType],
) -> None:
    """Store the identity with its fields, and index those that are new."""
    for name in new.keys() - old.keys() - BUILT_IN_FIELDS.keys():
        _index_field(shard, layout.field_key(name), new[name])
    payload = layout.identity_payload(identity, new)
    point = qe.Point(layout.IDENTITY_ID, {}, payload)
    shard.update(qe.UpdateOperation.upsert_points([point]))
    shard.flush()


def open_identity(
    shard: qe.EdgeShard,
    path: Path,
    wanted: IndexIdentity | None,
    declared: Mapping[str, FieldType],
    *,
    again: bool = False,
) -> layout.StoredIdentity:
    """Read an index's identity and fields, and add declared fields that are new.

    Args:
        shard: The open engine.
        path: The folder.
        wanted: The parts that it must be built with; any if None.
        declared: Fields.
        again: It was opened before, and may have been built again with another analysis of texts.

    Raises:
        IndexMismatch: It was built with other parts, or is not one of ragkit's.
    """
    found = shard.retrieve([layout.IDENTITY_ID], with_payload=True, with_vector=False)
    if not found:
        raise IndexMismatch(f"{str(path)!r} is a Qdrant Edge shard, but not one of ragkit's.")
    identity, fields = layout.read_identity(found[0].payload)
    command = f"ragkit reindex --index {shlex.quote(str(path))}"
    if wanted is not None:
        wanted = layout.followed(wanted, identity) if again else wanted
        layout.check_identity(identity, wanted, location=str(path), command=command)
    merged = validation.merge_fields(fields, declared, command=command)
    if merged != fields:
        count_writes(path, 0)
        store_fields(shard, identity, fields, merged)
    return identity, merged


def check_space(path: Path, size: int, *, for_what: str) -> None:
    """Check that a write fits the disk: the engine, which maps files, would end the process.

    Raises:
        ProviderError: There is too little space.
    """
    needed = MIN_FREE_BYTES + size
    free = shutil.disk_usage(path).free
    if free < needed:
        raise ProviderError(
            f"Not enough space for the index at {str(path)!r}: {free >> 20} MiB free, "
            f"{needed >> 20} MiB needed for {for_what}. What was stored is intact. "
            "Fix: free some space, or choose another disk with --index.",
            provider=PROVIDER,
        )


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Translate the engine's errors, which name no reason but a text."""
    try:
        yield
    except OSError as error:
        raise ProviderError(f"The index at {str(path)!r}: {error}", provider=PROVIDER) from error
    except Exception as error:
        # The engine raises bare `Exception`; ragkit's own errors and real bugs pass unchanged.
        if type(error) is not Exception:
            raise
        raise ProviderError(f"The index at {str(path)!r}: {error}", provider=PROVIDER) from error
