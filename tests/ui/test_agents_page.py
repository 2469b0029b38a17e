import pytest

from ragkit.answering.conversations import Owner
from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedLLM
from ragkit.ui.run_events import KeptRun
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import MakeWorkspace, filled
from tests.ui.test_views import TIMEOUT_S, open_page, settle


def test_a_kept_run_that_ended_before_its_first_event_is_shown(workspace: Workspace) -> None:
    app = open_page(workspace, "agents")
    owner = Owner(name=str(app.session_state["owner"]), tenant=workspace.tenant)
    kept = KeptRun(question="How long?", pattern="react", model="m", tools=(), limits={}, events=())
    path = workspace.agent_store.save(owner, kept)
    app.run()
    app.button(key=f"kept-{path.stem}").click().run()
    assert not app.exception
    assert any("How long" in text.value for text in app.markdown)
    assert any("ended before its first event" in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    "text", ["[1]", '"x"', "null", "{", pytest.param("[" * 100_000, id="too deep")]
)
def test_arguments_that_are_no_object_are_refused_with_a_sentence(
    make_workspace: MakeWorkspace, text: str
) -> None:
    note = says_action("I write.", ("save_note", {"text": "Refunds: 5 days."}))
    workspace = filled(make_workspace(ScriptedLLM([note])))
    app = open_page(workspace, "agents")
    app.multiselect(key="tools").set_value(["save_note"]).run()
    app.text_area(key="task").set_value("Note the refunds.").run()
    next(button for button in app.button if button.label == "Run").click().run()
    (run,) = workspace.agent_runs.values()
    assert run.wait(TIMEOUT_S)
    settle(app)
    edited = next(str(key) for key in app.session_state if str(key).startswith("arguments-"))
    app.session_state[edited] = text
    app.session_state[edited.replace("arguments-", "decision-")] = "Approve"
    app.run()
    assert not app.exception
    assert "The arguments are" in app.error[0].value
    assert "Fix" in app.error[0].value
    assert app.button(key="continue-run").disabled
