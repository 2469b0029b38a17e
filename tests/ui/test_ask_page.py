"""The page Ask and its list of conversations: what is not sent, not kept, or not on the list."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from streamlit.testing.v1 import AppTest

from ragkit.answering.conversations import Owner
from ragkit.core.errors import InputError
from ragkit.core.types import Delta
from ragkit.llm.call import Call
from ragkit.testing.llm import ScriptedLLM, random_replies
from ragkit.ui.answer_choices import AnswerChoices, settings_for
from ragkit.ui.answer_job import AnswerJob, Request
from ragkit.ui.conversations import Turn
from ragkit.ui.stored_answer import StoredAnswer
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace, install
from tests.ui.conftest import MakeWorkspace, as_read, filled
from tests.ui.test_views import PAGE, TIMEOUT_S, ask, html_of, open_page

FULL = "The database is full. Fix: free some space."


class HeldLLM(ScriptedLLM):
    """Replies once it is released."""

    def __init__(self) -> None:
        """Hold every reply."""
        super().__init__(random_replies(3, ending=0.6))
        self.released = threading.Event()

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream a reply after the release."""
        await asyncio.to_thread(self.released.wait, TIMEOUT_S)
        async with aclosing(super().respond(call)) as deltas:
            async for delta in deltas:
                yield delta


def tab_of(workspace: Workspace, owner: Owner, conversation: str) -> AppTest:
    """A tab of this owner that has a conversation open, not drawn yet."""
    install(lambda: workspace)
    app = AppTest.from_string(PAGE.format(page="ask"), default_timeout=TIMEOUT_S)
    app.session_state["owner"] = owner.name
    app.session_state["conversation"] = conversation
    return app


def answered_elsewhere(workspace: Workspace, owner: Owner, conversation: str) -> AnswerJob:
    """Ask a question in a conversation, as another tab does."""
    question = "How long do refunds take?"
    workspace.conversations.add(owner, conversation, question, None)
    request = Request(
        owner=owner,
        conversation=conversation,
        question=question,
        settings=settings_for(workspace.settings, AnswerChoices(mode="generative")),
    )
    workspace.answers[conversation] = AnswerJob(workspace, request)
    return workspace.answers[conversation]


def keep_no_answer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let answers, and nothing else, fail to be kept."""
    add = workspace.conversations.add

    def failing(owner: Owner, conversation: str, text: str, answer: StoredAnswer | None) -> int:
        if answer is not None:
            raise InputError(FULL)
        return add(owner, conversation, text, answer)

    monkeypatch.setattr(workspace.conversations, "add", failing)


def test_a_question_during_an_answer_is_not_sent_and_the_page_says_so(
    make_workspace: MakeWorkspace, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = HeldLLM()
    workspace = filled(make_workspace(llm))
    conversation = workspace.conversations.create(owner, "Refunds")
    tab = tab_of(workspace, owner, conversation).run()
    job = answered_elsewhere(workspace, owner, conversation)
    read, draws = workspace.conversations.read, list[int]()

    def released_when_drawn_again(owner: Owner, conversation: str) -> list[Turn]:
        draws.append(1)
        if len(draws) > 1:
            llm.released.set()
        return read(owner, conversation)

    monkeypatch.setattr(workspace.conversations, "read", released_when_drawn_again)
    ask(tab, "And gift cards?")
    assert job.wait(TIMEOUT_S)
    texts = [turn.text for turn in read(owner, conversation)]
    assert len(texts) == 2
    assert "And gift cards?" not in texts
    assert "Your question was not sent" in tab.info[0].value
    ask(tab, "And gift cards?")
    assert not tab.info
    assert "And gift cards?" in [turn.text for turn in read(owner, conversation)]


def test_an_answer_that_cannot_be_kept_is_shown_with_the_reason_and_noted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(workspace, "ask")
    with monkeypatch.context() as patched:
        keep_no_answer(workspace, patched)
        ask(app, "How long do refunds take?")
        assert as_read(app.error[0].value) == f"This answer could not be kept. {FULL}"
        assert '<div class="rk-answer rk-answered">' in html_of(app)
        assert [failure.message for failure in workspace.failures.all()] == [
            f"An answer could not be kept. {FULL}"
        ]
    ask(app, "And gift cards?")
    assert not app.error
    assert not app.exception


def test_deleting_a_conversation_stops_the_answer_to_it(
    make_workspace: MakeWorkspace, owner: Owner
) -> None:
    llm = HeldLLM()
    workspace = filled(make_workspace(llm))
    conversation = workspace.conversations.create(owner, "Refunds")
    tab = tab_of(workspace, owner, conversation).run()
    job = answered_elsewhere(workspace, owner, conversation)
    tab.button(key=f"delete-{conversation}").click().run()
    llm.released.set()
    assert not job.running
    assert workspace.conversations.heads(owner) == []
    assert not workspace.failures.all()
    assert not tab.exception


def test_every_conversation_can_be_opened(workspace: Workspace, owner: Owner) -> None:
    made = [workspace.conversations.create(owner, f"Number {number}") for number in range(65)]
    tab = tab_of(workspace, owner, "").run()
    assert len([button for button in tab.button if str(button.key).startswith("open-")]) == 30
    for left in (35, 5):
        more = tab.button(key="older-conversations")
        assert more.label == f"Older conversations ({left})"
        more.click().run()
    opened = {str(button.key) for button in tab.button if str(button.key).startswith("open-")}
    assert opened == {f"open-{conversation}" for conversation in made}
    assert "older-conversations" not in [button.key for button in tab.button]


def test_the_open_conversation_is_on_the_list_however_old_it_is(
    workspace: Workspace, owner: Owner
) -> None:
    oldest = workspace.conversations.create(owner, "The oldest")
    for number in range(40):
        workspace.conversations.create(owner, f"Number {number}")
    tab = tab_of(workspace, owner, oldest).run()
    assert tab.button(key=f"open-{oldest}").label == "The oldest"
    assert tab.button(key=f"delete-{oldest}").label == "Delete"


def test_a_title_is_shown_as_it_was_written(workspace: Workspace, owner: Owner) -> None:
    title = r"What does `a[0]` do? \![x](http://a.example/p.png)"
    conversation = workspace.conversations.create(owner, title)
    tab = tab_of(workspace, owner, conversation).run()
    assert tab.button(key=f"open-{conversation}").label == plain(title)
