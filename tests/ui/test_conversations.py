import threading
from pathlib import Path

import pytest

from ragkit.answering.conversations import Owner
from ragkit.core.errors import InputError
from ragkit.ui.conversations import Conversations, Turn, as_markdown
from ragkit.ui.stored_answer import StoredAnswer, StoredCitation

ANSWER = StoredAnswer(
    outcome="answered",
    text="Within 5 days.",
    confidence=0.9,
    by="short answer",
    notes=("Asked as it is.",),
    citations=(
        StoredCitation(number=1, uri="r.md", title="Refunds", quote="a\nb", start=0, end=3, page=2),
    ),
)


@pytest.fixture(name="kept")
def _kept(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "folder" / "c.sqlite")


def test_a_conversation_is_there_after_a_restart(tmp_path: Path, owner: Owner) -> None:
    first = Conversations(tmp_path / "c.sqlite")
    key = first.create(owner, "How long do refunds take?")
    first.add(owner, key, "How long do refunds take?", None)
    first.add(owner, key, ANSWER.text, ANSWER)
    first.close()
    again = Conversations(tmp_path / "c.sqlite")
    assert [head.title for head in again.heads(owner)] == ["How long do refunds take?"]
    turns = again.read(owner, key)
    assert [(turn.ordinal, turn.author) for turn in turns] == [(0, "user"), (1, "assistant")]
    assert turns[1].answer == ANSWER
    again.close()


@pytest.mark.parametrize(
    "other", [Owner(name="another-person", tenant="default"), Owner(name="a" * 20, tenant="acme")]
)
def test_nobody_sees_or_touches_the_conversation_of_another(
    kept: Conversations, owner: Owner, other: Owner
) -> None:
    key = kept.create(owner, "mine")
    kept.add(owner, key, "secret", None)
    assert kept.heads(other) == []
    assert kept.read(other, key) == []
    for act in (
        lambda: kept.add(other, key, "x", None),
        lambda: kept.rename(other, key, "x"),
        lambda: kept.delete(other, key),
    ):
        with pytest.raises(InputError, match="No conversation"):
            act()
    assert len(kept.read(owner, key)) == 1


def test_the_same_browser_has_other_conversations_with_another_tenant(
    kept: Conversations, owner: Owner
) -> None:
    kept.create(owner, "mine")
    assert kept.heads(Owner(name=owner.name, tenant="acme")) == []


def test_the_last_changed_comes_first_and_a_deleted_one_leaves_nothing(
    kept: Conversations, owner: Owner
) -> None:
    first, second = kept.create(owner, "first"), kept.create(owner, "second")
    kept.add(owner, first, "more", None)
    assert [head.id for head in kept.heads(owner)] == [first, second]
    kept.rename(owner, second, "  named\nagain ")
    assert [head.title for head in kept.heads(owner)] == ["first", "named again"]
    kept.delete(owner, first)
    assert kept.read(owner, first) == []
    assert [head.id for head in kept.heads(owner)] == [second]


def test_an_empty_title_is_refused(kept: Conversations, owner: Owner) -> None:
    key = kept.create(owner, "x")
    with pytest.raises(InputError, match="Fix: write at least one character"):
        kept.rename(owner, key, "  ")


def test_turns_from_many_threads_get_an_order(kept: Conversations, owner: Owner) -> None:
    key = kept.create(owner, "x")
    threads = [
        threading.Thread(target=kept.add, args=(owner, key, str(number), None))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [turn.ordinal for turn in kept.read(owner, key)] == list(range(16))


def test_a_file_that_cannot_be_made_is_a_sentence(tmp_path: Path, owner: Owner) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be opened.*Fix: name a file that can be written"):
        Conversations(tmp_path / "file" / "c.sqlite").heads(owner)


def test_markdown_has_questions_answers_quotes_and_sources() -> None:
    text = as_markdown(
        "Refunds",
        [
            Turn(ordinal=0, author="user", text="How\nlong?"),
            Turn(ordinal=1, author="assistant", text=ANSWER.text, answer=ANSWER),
        ],
    )
    assert text == (
        "# Refunds\n\n## How long?\n\nWithin 5 days.\n\n_Asked as it is._\n\n"
        "_Confidence 0.90, by short answer_\n\n> a\n> b\n>\n> [1] Refunds (r.md, page 2)\n"
    )
