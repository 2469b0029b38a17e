import asyncio
from pathlib import Path

import pytest

from ragkit.answering.conversations import ConversationStore
from ragkit.core.errors import InputError
from ragkit.core.types import Message

ME = {"tenant": "t", "user": "me"}
TURN = [Message(role="user", content="Wer? \n 誰?"), Message(role="assistant", content="")]


async def test_messages_come_back_in_order_and_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "conversations.sqlite"
    store = ConversationStore(file)
    name = await store.create(**ME)
    await store.append(name, TURN, **ME)
    await store.append(name, TURN, **ME)
    store.close()
    again = ConversationStore(file)
    assert await again.messages(name, **ME) == [*TURN, *TURN]
    assert [one.title for one in await again.conversations(**ME)] == ["Wer? 誰?"]
    again.close()
    again.close()


@pytest.mark.parametrize("other", [{"tenant": "u", "user": "me"}, {"tenant": "t", "user": "you"}])
async def test_another_user_or_tenant_sees_and_changes_nothing(other: dict[str, str]) -> None:
    store = ConversationStore(":memory:")
    name = await store.create(**ME, title="mine")
    assert await store.conversations(**other) == []
    for attempt in (
        store.messages(name, **other),
        store.append(name, TURN, **other),
        store.rename(name, "theirs", **other),
        store.delete(name, **other),
    ):
        with pytest.raises(InputError, match="No conversation"):
            await attempt
    assert [one.title for one in await store.conversations(**ME)] == ["mine"]
    assert await store.messages(name, **ME) == []


async def test_renaming_and_deleting(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path / "c.sqlite")
    first, second = [await store.create(**ME, title=title) for title in ("a", "b")]
    await store.append(first, TURN, **ME)
    await store.rename(first, " new ", **ME)
    assert [one.title for one in await store.conversations(**ME)] == ["new", "b"]
    with pytest.raises(InputError, match="title is empty"):
        await store.rename(first, " ", **ME)
    await store.delete(first, **ME)
    assert [one.id for one in await store.conversations(**ME)] == [second]
    with pytest.raises(InputError, match="No conversation"):
        await store.messages(first, **ME)


async def test_two_stores_on_one_file_lose_no_message(tmp_path: Path) -> None:
    stores = [ConversationStore(tmp_path / "c.sqlite") for _ in range(2)]
    name = await stores[0].create(**ME)
    jobs = [
        stores[n % 2].append(name, [Message(role="user", content=str(n))], **ME) for n in range(40)
    ]
    await asyncio.gather(*jobs)
    kept = await stores[0].messages(name, **ME)
    assert sorted(int(one.content) for one in kept) == list(range(40))


def test_a_file_that_is_no_database_is_an_error_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, " * 100)
    with pytest.raises(InputError, match=r"notes\.txt.*Fix:"):
        ConversationStore(file)
    assert file.read_text().startswith("these are notes")
