import json
import stat
from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.server.keys import KeyFile, KeyLimits


def test_a_secret_finds_its_key_and_is_stored_nowhere(keys: KeyFile) -> None:
    secret = keys.add("ci", tenant="a", role="write")
    found = keys.find(secret)
    assert found is not None
    assert (found.name, found.tenant, found.role) == ("ci", "a", "write")
    assert secret not in keys.file.read_text()
    assert keys.find(secret + "x") is None
    assert keys.find("") is None
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600


def test_a_removed_key_is_refused_at_once_by_a_server_that_runs(keys: KeyFile) -> None:
    running = KeyFile(keys.file)
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


@pytest.mark.parametrize("text", ["", "{", '[{"name": "a"}]', '[{"nam": "a"}]'])
def test_a_file_that_is_no_key_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"keys\.json.*Fix:"):
        KeyFile(file).find("rk-x")
    assert file.read_text() == text


def test_limits_are_kept_and_a_limit_of_zero_is_refused(keys: KeyFile) -> None:
    limits = KeyLimits(requests_per_minute=5)
    secret = keys.add("a", tenant="t", limits=limits)
    found = KeyFile(keys.file).find(secret)
    assert found is not None
    assert found.limits == limits
    with pytest.raises(ValueError, match="greater than 0"):
        KeyLimits(requests_per_minute=0)
    assert json.loads(keys.file.read_text())[0]["limits"]["requests_per_minute"] == 5
