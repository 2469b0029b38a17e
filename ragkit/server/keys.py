"""API keys: only their hashes are stored, each bound to a tenant, a role and limits."""

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.core.database import Database
from ragkit.core.errors import ConfigError, InputError, ProviderError

Role: TypeAlias = Literal["read", "write", "admin"]
"""`read` searches and asks, `write` also ingests and deletes, `admin` also evaluates."""

ROLES: Mapping[Role, int] = {"read": 0, "write": 1, "admin": 2}
PREFIX = "rk-"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
"""The names of this machine, the only ones that a server without keys listens on."""

_Limit: TypeAlias = Annotated[int, Field(gt=0)] | None


class KeyLimits(BaseModel):
    """The most that a key may use; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: _Limit = None
    tokens_per_minute: _Limit = None
    documents: _Limit = None
    upload_bytes: _Limit = None
    cost_per_day: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


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


_SCHEMA = "CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, digest TEXT UNIQUE, key TEXT)"


class KeyFile:
    """The keys in a SQLite file. Servers that run see every change at once."""

    def __init__(self, file: Path) -> None:
        """Name the file; one that does not exist has no keys."""
        self._database = Database(file, _SCHEMA)

    def find(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, None where it is unknown.

        Raises:
            ConfigError: The file cannot be read.
        """
        found = self._select("WHERE digest = ?", _digest(secret))
        return found[0] if found else None

    def all(self) -> list[ApiKey]:
        """Return all keys, in the order they were added.

        Raises:
            ConfigError: The file cannot be read.
        """
        return self._select("ORDER BY rowid")

    def any(self) -> bool:
        """Return whether there is a key.

        Raises:
            ConfigError: The file cannot be read.
        """
        return bool(self._select("LIMIT 1"))

    def add(
        self, name: str, *, tenant: str, role: Role = "read", limits: KeyLimits | None = None
    ) -> str:
        """Make a key and return its secret, which is stored nowhere.

        Raises:
            InputError: The name is taken, a value cannot be used, or the file cannot be written.
        """
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
        row = (name, key.digest, key.model_dump_json())
        try:
            with self._database.transaction() as db:
                db.execute("INSERT INTO keys VALUES (?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise InputError(
                f"A key named {name!r} exists. Fix: choose another name or remove it."
            ) from error
        return secret

    def remove(self, name: str) -> None:
        """Remove a key by its name.

        Raises:
            InputError: No key has the name.
        """
        with self._database.transaction() as db:
            removed = db.execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount
        if not removed:
            raise InputError(f"No key is named {name!r}. Fix: list them with ragkit keys list.")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._database.close()

    def _select(self, condition: str, *values: str) -> list[ApiKey]:
        try:
            with self._database.transaction(write=False) as db:
                rows = db.execute(f"SELECT key FROM keys {condition}", values).fetchall()
            return [ApiKey.model_validate_json(key) for (key,) in rows]
        except (InputError, ProviderError, ValidationError, sqlite3.Error) as error:
            raise ConfigError(f"The API keys cannot be read: {error}") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _first(error: ValidationError) -> str:
    item = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
