import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ragkit.answering.conversations import (
    ConversationStore,
    ConversationTurn,
    Owner,
    titled,
)
from ragkit.core.errors import InputError, ProviderError

ME = Owner(name="me", tenant="t")
TURNS = [
    ConversationTurn(author="user", text="Wer? \n 誰?"),
    ConversationTurn(author="assistant", text="", details='{"a": 1}'),
]
WRITES = """
import sys
from ragkit.answering.conversations import ConversationStore, ConversationTurn, Owner
store = ConversationStore(sys.argv[1])
for number in range(int(sys.argv[3]), int(sys.argv[3]) + 20):
    turn = ConversationTurn(author="user", text=str(number))
    store.append(Owner(name="me", tenant="t"), sys.argv[2], [turn])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where conversations are kept: nothing is there yet."""
    if request.param == "sqlite":
        return tmp_path / "deep" / "conversations.sqlite"
    url: str = request.getfixturevalue("postgres")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS turns, conversations")
    return url


@pytest.fixture
def store(place: Path | str) -> Iterator[ConversationStore]:
    """An empty store."""
    with closing(ConversationStore(place)) as store:
        yield store


def test_turns_come_back_in_order_and_after_a_restart(place: Path | str) -> None:
    store = ConversationStore(place)
    name = store.create(ME)
    assert store.append(ME, name, TURNS) == 0
    assert store.append(ME, name, TURNS) == 2
    store.close()
    again = ConversationStore(place)
    assert again.turns(ME, name) == [*TURNS, *TURNS]
    assert [one.title for one in again.heads(ME)] == ["Wer? 誰?"]
    again.close()
    again.close()


@pytest.mark.parametrize("other", [Owner(name="me", tenant="u"), Owner(name="you", tenant="t")])
def test_another_user_or_tenant_sees_and_changes_nothing(
    store: ConversationStore, other: Owner
) -> None:
    name = store.create(ME, "mine")
    assert store.heads(other) == []
    for attempt in (
        lambda: store.turns(other, name),
        lambda: store.append(other, name, TURNS),
        lambda: store.rename(other, name, "theirs"),
        lambda: store.delete(other, name),
    ):
        with pytest.raises(InputError, match="No conversation"):
            attempt()
    assert [one.title for one in store.heads(ME)] == ["mine"]
    assert store.turns(ME, name) == []


def test_the_last_changed_comes_first_and_a_deleted_one_leaves_nothing(
    store: ConversationStore,
) -> None:
    first, second = store.create(ME, "a"), store.create(ME, "b")
    store.append(ME, first, TURNS)
    store.rename(ME, first, " new ")
    assert [one.title for one in store.heads(ME)] == ["new", "b"]
    with pytest.raises(InputError, match="needs a title"):
        store.rename(ME, first, " ")
    store.delete(ME, first)
    assert [one.id for one in store.heads(ME)] == [second]
    with pytest.raises(InputError, match="No conversation"):
        store.turns(ME, first)


def test_two_processes_in_one_place_lose_no_turn(
    place: Path | str, store: ConversationStore
) -> None:
    name = store.create(ME)
    command = [sys.executable, "-c", WRITES, str(place), name]
    writers = [subprocess.Popen([*command, first]) for first in ("0", "20")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert sorted(int(turn.text) for turn in store.turns(ME, name)) == list(range(40))


def test_turns_are_appended_all_or_none(store: ConversationStore) -> None:
    name = store.create(ME)
    broken = ConversationTurn(author="user", text=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # as a careless caller does
    with pytest.raises(Exception, match=r"(?i)not.null"):
        store.append(ME, name, [TURNS[0], broken])
    assert store.turns(ME, name) == []
    assert store.append(ME, name, TURNS) == 0


def test_a_file_that_is_no_database_is_an_error_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, " * 100)
    with pytest.raises(InputError, match=r"notes\.txt.*Fix:"):
        ConversationStore(file).heads(ME)
    assert file.read_text().startswith("these are notes")


def test_a_server_that_is_away_is_one_sentence_without_the_password() -> None:
    store = ConversationStore("postgresql://ann:swordfish@127.0.0.1:1/db")
    with pytest.raises(ProviderError, match=r"PostgreSQL server failed.*Fix:") as caught:
        store.heads(ME)
    assert "swordfish" not in str(caught.value)


def test_a_connection_that_broke_is_made_again(postgres: str) -> None:
    with closing(ConversationStore(postgres)) as kept:
        name = kept.create(ME, "mine")
        with psycopg.connect(postgres, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        with pytest.raises(ProviderError) as caught:
            kept.heads(ME)
        assert caught.value.retryable
        assert name in [one.id for one in kept.heads(ME)]


def test_text_that_postgresql_cannot_store_is_refused(postgres: str) -> None:
    with closing(ConversationStore(postgres)) as store:
        name = store.create(ME)
        for text in ("a\x00b", "a\ud800b"):
            with pytest.raises(InputError, match="cannot store"):
                store.append(ME, name, [ConversationTurn(author="user", text=text)])
        assert store.turns(ME, name) == []


def test_a_title_is_one_short_line() -> None:
    assert titled("a\n b") == "a b"
    assert len(titled("word " * 50)) <= 60
