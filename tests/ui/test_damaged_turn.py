"""A turn whose kept answer cannot be read: its text is shown, and everything else goes on."""

from pathlib import Path

import pytest

from ragkit.answering.conversations import ConversationTurn, Owner
from ragkit.testing.llm import ScriptedLLM
from ragkit.ui.answer_choices import AnswerChoices, settings_for
from ragkit.ui.answer_job import AnswerJob, Request
from ragkit.ui.conversations import Conversations, Turn, as_markdown
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import MakeWorkspace, filled
from tests.ui.test_views import TIMEOUT_S, ask, html_of, open_page

DAMAGED = ConversationTurn(author="assistant", text="Within 5 <days>.", details='{"outcome"')


@pytest.mark.parametrize("details", ['{"outcome"', "{}", "null", ""])
def test_the_text_of_a_damaged_turn_is_read_and_exported(
    tmp_path: Path, owner: Owner, details: str
) -> None:
    kept = Conversations(tmp_path / "c.sqlite")
    key = kept.create(owner, "Refunds")
    kept.add(owner, key, "How long?", None)
    kept.append(owner, key, [ConversationTurn(author="assistant", text="5 days.", details=details)])
    turns = kept.read(owner, key)
    assert turns[1] == Turn(ordinal=1, author="assistant", text="5 days.")
    assert as_markdown("Refunds", turns) == "# Refunds\n\n## How long?\n\n5 days.\n"
    kept.close()


def test_a_page_shows_a_damaged_turn_and_lets_its_conversation_be_deleted(
    workspace: Workspace,
) -> None:
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    owner = Owner(name=str(app.session_state["owner"]), tenant=workspace.tenant)
    key = str(app.session_state["conversation"])
    workspace.conversations.append(owner, key, [DAMAGED])
    app.run()
    assert not app.exception
    assert "Within 5 &lt;days&gt;." in html_of(app)
    assert any("sources of this answer cannot be read" in one.value for one in app.caption)
    app.button(key=f"delete-{key}").click().run()
    assert workspace.conversations.heads(owner) == []


def test_a_model_reads_a_damaged_turn_as_its_own(
    make_workspace: MakeWorkspace, owner: Owner
) -> None:
    llm = ScriptedLLM(lambda call: call.messages[-1].content[:20])
    workspace = filled(make_workspace(llm))
    key = workspace.conversations.create(owner, "Refunds")
    workspace.conversations.add(owner, key, "How long?", None)
    workspace.conversations.append(owner, key, [DAMAGED])
    request = Request(
        owner=owner,
        conversation=key,
        question="And gift cards?",
        settings=settings_for(workspace.settings, AnswerChoices(mode="generative")),
        turns=workspace.conversations.read(owner, key),
    )
    assert AnswerJob(workspace, request).wait(TIMEOUT_S)
    assert f"assistant: {DAMAGED.text}" in llm.calls[0].prompt
