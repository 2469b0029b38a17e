"""API keys: only their hashes are stored, each bound to a tenant, a role and limits."""

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ragkit.core.errors import InputError

Role: TypeAlias = Literal["read", "write", "admin"]
"""`read` searches and asks, `write` also ingests and deletes, `admin` also evaluates."""

ROLES: Mapping[Role, int] = {"read": 0, "write": 1, "admin": 2}
PREFIX = "rk-"

_Limit: TypeAlias = Annotated[int, Field(gt=0)] | None


class KeyLimits(BaseModel):
    """The most that a key may use; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: _Limit = None
    tokens_per_minute: _Limit = None
    documents: _Limit = None
    upload_bytes: _Limit = None


class ApiKey(BaseModel):
    """A stored key. `digest` is the SHA-256 of the secret, in hexadecimal.

    A secret has 256 random bits, so one pass of a fast hash is enough: it cannot be guessed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    digest: str
    tenant: Annotated[str, Field(min_length=1)]
    role: Role = "read"
    limits: KeyLimits = KeyLimits()

    def may(self, role: Role) -> bool:
        """Return whether the key's role includes this one."""
        return ROLES[self.role] >= ROLES[role]


_KEYS = TypeAdapter(list[ApiKey])


class KeyFile:
    """The keys in a JSON file that only its owner can read. A changed file is read again."""

    def __init__(self, file: Path) -> None:
        """Read keys from this file; one that does not exist has none."""
        self.file = file
        self._read: tuple[object, dict[str, ApiKey]] | None = None

    def find(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, None where it is unknown."""
        return self._keys().get(_digest(secret))

    def all(self) -> list[ApiKey]:
        """Return all keys, in the order they were added."""
        return list(self._keys().values())

    def add(
        self, name: str, *, tenant: str, role: Role = "read", limits: KeyLimits | None = None
    ) -> str:
        """Make a key and return its secret, which is stored nowhere.

        Raises:
            InputError: The name is taken, or a value cannot be used.
        """
        known = self.all()
        if any(key.name == name for key in known):
            raise InputError(f"A key named {name!r} exists. Fix: choose another name or remove it.")
        secret = PREFIX + secrets.token_urlsafe(32)
        try:
            key = ApiKey(
                name=name,
                digest=_digest(secret),
                tenant=tenant,
                role=role,
                limits=limits or KeyLimits(),
            )
        except ValidationError as error:
            raise InputError(f"The key {name!r} cannot be made: {_first(error)}.") from error
        self._write([*known, key])
        return secret

    def remove(self, name: str) -> None:
        """Remove a key by its name.

        Raises:
            InputError: No key has the name.
        """
        known = self.all()
        kept = [key for key in known if key.name != name]
        if len(kept) == len(known):
            raise InputError(f"No key is named {name!r}. Fix: list them with ragkit keys list.")
        self._write(kept)

    def _keys(self) -> dict[str, ApiKey]:
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return {}
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._read is None or self._read[0] != stamp:
            try:
                stored = _KEYS.validate_json(self.file.read_bytes())
            except (ValidationError, OSError) as error:
                raise InputError(
                    f"The key file {str(self.file)!r} cannot be read. "
                    "Fix: restore it, or remove it and add the keys again."
                ) from error
            self._read = (stamp, {key.digest: key for key in stored})
        return self._read[1]

    def _write(self, keys: list[ApiKey]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([key.model_dump(mode="json") for key in keys], indent=2) + "\n"
        handle, name = tempfile.mkstemp(dir=self.file.parent, prefix=self.file.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self.file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _first(error: ValidationError) -> str:
    item = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
