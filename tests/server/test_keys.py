import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError, InputError
from ragkit.server.keys import KeyFile, KeyLimits
from ragkit.testing.server import RunningServer
from tests.server.conftest import KEY_FILE


def test_a_secret_finds_its_key_and_is_stored_nowhere(keys: KeyFile, tmp_path: Path) -> None:
    secret = keys.add("ci", tenant="a", role="write")
    found = keys.find(secret)
    assert found is not None
    assert (found.name, found.tenant, found.role) == ("ci", "a", "write")
    stored = [file for file in tmp_path.iterdir() if file.name.startswith(KEY_FILE)]
    assert stored
    assert not any(secret.encode() in file.read_bytes() for file in stored)
    assert {stat.S_IMODE(file.stat().st_mode) for file in stored} == {0o600}
    assert keys.find(secret + "x") is None
    assert keys.find("") is None


def test_a_removed_key_is_refused_at_once_by_a_server_that_runs(
    keys: KeyFile, tmp_path: Path
) -> None:
    running = KeyFile(tmp_path / KEY_FILE)
    secret = keys.add("a", tenant="t")
    assert running.find(secret) is not None
    keys.remove("a")
    assert running.find(secret) is None
    with pytest.raises(InputError, match="No key is named 'a'"):
        keys.remove("a")


def test_a_taken_name_an_empty_tenant_and_an_unknown_role_are_refused(keys: KeyFile) -> None:
    keys.add("a", tenant="t")
    with pytest.raises(InputError, match="exists"):
        keys.add("a", tenant="t")
    with pytest.raises(InputError, match="tenant"):
        keys.add("b", tenant="")
    with pytest.raises(InputError, match="role"):
        keys.add("b", tenant="t", role="Admin")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a typo
    assert [key.name for key in keys.all()] == ["a"]


@pytest.mark.parametrize(
    "text", ['{"keys": []}', "SQLite format 3, or so it says", '[{"name": "a"}]']
)
def test_a_file_that_is_no_key_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / KEY_FILE
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"keys\.sqlite.*Fix:"):
        KeyFile(file).find("rk-x")
    assert file.read_text() == text


def test_a_key_that_another_program_changed_lets_nobody_in(keys: KeyFile, tmp_path: Path) -> None:
    secret = keys.add("a", tenant="t")
    with closing(sqlite3.connect(tmp_path / KEY_FILE)) as database, database:
        database.execute("""UPDATE keys SET key = '{"role": "admin"}'""")
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.find(secret)


async def test_an_unreadable_key_file_lets_nobody_in_and_shows_no_path(
    guarded_server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / KEY_FILE).write_text('{"keys": []}')
    header = {"Authorization": "Bearer rk-x"}
    response = await guarded_server.http.get("/v1/models", headers=header)
    assert response.status_code == 503
    assert str(tmp_path) not in response.text


def test_limits_are_kept_and_a_limit_of_zero_is_refused(keys: KeyFile, tmp_path: Path) -> None:
    limits = KeyLimits(requests_per_minute=5)
    secret = keys.add("a", tenant="t", limits=limits)
    found = KeyFile(tmp_path / KEY_FILE).find(secret)
    assert found is not None
    assert found.limits == limits
    with pytest.raises(ValueError, match="greater than 0"):
        KeyLimits(requests_per_minute=0)
