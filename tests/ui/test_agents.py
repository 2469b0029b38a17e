import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ragkit.agents import Budget
from ragkit.agents.approval import approve, edit, refuse
from ragkit.answering.conversations import Owner
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.types import Json, Pattern
from ragkit.testing.agents import says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedLLM, random_replies
from ragkit.ui.agent_checkpoints import AgentCheckpoints
from ragkit.ui.agent_run import AgentRun, tool_of
from ragkit.ui.plan_graph import levels, plan_html
from ragkit.ui.run_events import PlanNode, RunEvent, run_view
from ragkit.ui.run_store import AgentChoices, RunStore, WaitingRun, load_kept_run, recordings
from ragkit.ui.views.agents import gauge_html, steps_html
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import MakeWorkspace, filled

SOMEBODY = Owner(name="somebody-with-a-long-name", tenant="default")
NOTE = ("save_note", {"text": "Refunds take 5 days."})


def _run(
    workspace: Workspace, *tools: str, pattern: Pattern = "react", question: str = "Q?"
) -> AgentRun:
    choices = AgentChoices(pattern=pattern, tools=tools, budget=Budget(steps=8))
    run = AgentRun(workspace, choices, question, owner=SOMEBODY)
    assert run.wait(60)
    return run


def _scripted(make: MakeWorkspace, *replies: str) -> Workspace:
    return filled(make(ScriptedLLM(list(replies))))


def test_a_run_shows_thoughts_calls_results_and_the_answer(make_workspace: MakeWorkspace) -> None:
    workspace = _scripted(
        make_workspace,
        says_action("I look.", ("search_documents", {"query": "refunds"})),
        says_finish("5 days.", "Found."),
    )
    view = run_view(_run(workspace, "search_documents").kept().events)
    assert [item.kind for item in view.items] == ["thought", "call", "result", "thought"]
    assert view.items[0].text == "I look."
    assert "Refunds are paid" in view.items[2].text
    assert (view.answer, view.stopped_by) == ("5 days.", "finished")
    assert view.used["steps"] == 2
    assert view.steps[0]["prompt"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("decision", "saved"),
    [
        (approve(), "Refunds take 5 days.\n\n"),
        (edit({"text": "Edited."}), "Edited.\n\n"),
        (refuse("not now"), None),
    ],
)
def test_a_call_that_writes_waits_for_a_person(
    make_workspace: MakeWorkspace, decision: dict[str, object], saved: str | None
) -> None:
    workspace = _scripted(make_workspace, says_action("", NOTE), says_finish("Done."))
    run = _run(workspace, "save_note")
    pending = run_view(run.kept().events).pending
    assert [call["tool"] for call in pending] == ["save_note"]
    run.decide({pending[0]["id"]: decision})
    assert run.wait(60)
    notes = workspace.agent_store.folder(SOMEBODY) / "notes.md"
    assert (notes.read_text() if notes.exists() else None) == saved
    view = run_view(run.kept().events)
    assert (view.answer, view.pending) == ("Done.", [])


def test_a_run_that_waits_outlives_the_application(make_workspace: MakeWorkspace) -> None:
    first = _scripted(make_workspace, says_action("I write.", NOTE))
    shown = run_view(_run(first, "save_note").kept().events)
    first.close()

    second = _scripted(make_workspace, says_finish("Done."))
    run = AgentRun.taken_up(second, SOMEBODY)
    assert run is not None
    assert not run.running
    view = run_view(run.kept().events)
    assert (view.items, view.pending) == (shown.items, shown.pending)
    run.decide({view.pending[0]["id"]: approve()})
    assert run.wait(60)
    assert not run.error
    assert run_view(run.kept().events).answer == "Done."
    assert (second.agent_store.folder(SOMEBODY) / "notes.md").read_text().startswith("Refunds")
    assert AgentRun.taken_up(second, SOMEBODY) is None


def test_a_run_that_waits_is_continued_once(make_workspace: MakeWorkspace) -> None:
    workspace = _scripted(make_workspace, says_action("", NOTE), says_finish("Done."))
    run = _run(workspace, "save_note")
    again = AgentRun.taken_up(workspace, SOMEBODY)
    assert again is not None
    decisions = {run_view(run.kept().events).pending[0]["id"]: approve()}
    run.decide(decisions)
    assert run.wait(60)
    again.decide(decisions)
    assert again.wait(60)
    assert "continued or given up elsewhere" in again.error
    assert run_view(run.kept().events).answer == "Done."


def test_an_approval_that_is_given_twice_counts_once(make_workspace: MakeWorkspace) -> None:
    other = ("save_note", {"text": "Another."})
    workspace = _scripted(
        make_workspace, says_action("", NOTE), says_action("", other), says_finish("Done.")
    )
    run = _run(workspace, "save_note")
    first = {run_view(run.kept().events).pending[0]["id"]: approve()}
    run.decide(first)
    run.decide(first)
    assert run.wait(60)
    run.decide(first)
    assert run.wait(60)
    assert not run.error
    (pending,) = run_view(run.kept().events).pending
    assert pending["arguments"] == other[1]
    run.decide({pending["id"]: approve()})
    assert run.wait(60)
    assert run_view(run.kept().events).answer == "Done."
    run.decide({pending["id"]: approve()})
    assert not run.error
    notes = workspace.agent_store.folder(SOMEBODY) / "notes.md"
    assert notes.read_text() == "Refunds take 5 days.\n\nAnother.\n\n"


def test_runs_of_two_processes_wait_each_for_itself(make_workspace: MakeWorkspace) -> None:
    one = _scripted(make_workspace, says_finish("No."), says_action("", NOTE), says_finish("Mine."))
    over, mine = _run(one, "save_note"), _run(one, "save_note")
    two = _scripted(make_workspace, says_action("", NOTE), says_finish("Theirs."))
    theirs = _run(two, "save_note")
    over.give_up()
    for run, answer in ((mine, "Mine."), (theirs, "Theirs.")):
        run.decide({run_view(run.kept().events).pending[0]["id"]: approve()})
        assert run.wait(60)
        assert not run.error
        assert run_view(run.kept().events).answer == answer


def test_a_run_is_taken_up_with_all_its_choices(make_workspace: MakeWorkspace) -> None:
    workspace = _scripted(make_workspace, says_action("", NOTE))
    budget = Budget(steps=None, tokens=9000, seconds=None)
    choices = AgentChoices(tools=("save_note",), budget=budget, approvals="always")
    assert AgentRun(workspace, choices, "Q?", owner=SOMEBODY).wait(60)
    waiting = workspace.agent_store.waiting(SOMEBODY)
    assert waiting is not None
    assert waiting.choices == choices
    another = Owner(name="another-person-here", tenant=SOMEBODY.tenant)
    assert workspace.agent_store.waiting(another) is None
    assert not workspace.agent_store.release(another, waiting.thread)


async def test_checkpoints_are_kept_of_runs_that_wait_only(make_workspace: MakeWorkspace) -> None:
    workspace = _scripted(make_workspace, says_action("", NOTE), says_action("", NOTE))
    waits, fails = _run(workspace, "save_note"), _run(workspace, "calculator")
    assert run_view(waits.kept().events).pending
    assert fails.error
    checkpoints = AgentCheckpoints(workspace.data / "agents")
    saver = await checkpoints.saver()
    threads = {one.config.get("configurable", {})["thread_id"] async for one in saver.alist(None)}
    await checkpoints.close()
    waiting = workspace.agent_store.waiting(SOMEBODY)
    assert isinstance(waiting, WaitingRun)
    assert threads == {waiting.thread}


async def test_a_file_that_holds_no_checkpoints_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints.sqlite").write_text("no database " * 100)
    checkpoints = AgentCheckpoints(tmp_path)
    before = set(threading.enumerate())
    with pytest.raises(InputError, match="not a database"):
        await checkpoints.saver()
    await checkpoints.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_run_that_cannot_be_taken_up_says_why(
    make_workspace: MakeWorkspace, workspace: Workspace
) -> None:
    waits = _scripted(make_workspace, says_action("", NOTE))
    run = _run(waits, "save_note")
    with pytest.raises(ConfigError, match="needs a language model"):
        AgentRun.taken_up(workspace, SOMEBODY)
    (kept,) = (waits.agent_store.folder(SOMEBODY) / "waiting").glob("*.json")
    kept.write_text("{}")
    with pytest.raises(InputError, match="Fix: delete"):
        AgentRun.taken_up(waits, SOMEBODY)
    run.give_up()
    assert AgentRun.taken_up(waits, SOMEBODY) is None


def test_a_plan_fills_in(make_workspace: MakeWorkspace) -> None:
    plan = says_plan(
        ("search_documents", {"query": "refunds"}), ("calculator", {"expression": "5*24"})
    )
    workspace = _scripted(make_workspace, plan, "120 hours.")
    events = _run(workspace, "search_documents", "calculator", pattern="rewoo").kept().events
    states: list[list[str]] = []
    for until in range(len(events) + 1):
        state: list[str] = [node.state for node in run_view(events[:until]).plan]
        if state and (not states or states[-1] != state):
            states.append(state)
    assert states[0] == ["waiting", "waiting"]
    assert states[-1] == ["done", "done"]
    assert any("running" in state for state in states)


def test_a_run_can_be_stopped(make_workspace: MakeWorkspace) -> None:
    llm = ScriptedLLM(random_replies(1, ending=0.01), delay_s=0.01)
    workspace = filled(make_workspace(llm))
    choices = AgentChoices(tools=("calculator",), budget=Budget())
    run = AgentRun(workspace, choices, "Q?", owner=SOMEBODY)
    run.stop()
    assert run.stopped or not run.running


def test_what_is_missing_is_a_sentence(workspace: Workspace) -> None:
    choices = AgentChoices(budget=Budget())
    with pytest.raises(ConfigError, match="Fix: enter one, such as vllm:"):
        AgentRun(workspace, choices, "Q?", owner=SOMEBODY)
    with pytest.raises(InputError, match="The question is empty"):
        AgentRun(workspace, choices, " ", owner=SOMEBODY)
    for name in ("rm", "sql", "calculator=x"):
        with pytest.raises(ConfigError, match=f"no tool '{name}'"):
            tool_of(workspace, name, Path("n"))


def test_a_run_is_kept_for_its_owner_and_replayed(
    make_workspace: MakeWorkspace, owner: Owner, tmp_path: Path
) -> None:
    workspace = _scripted(make_workspace, says_finish("Yes."))
    kept = _run(workspace, "calculator").kept()
    store = RunStore(tmp_path / "runs")
    path = store.save(owner, kept)
    assert load_kept_run(path) == kept
    assert [file.question for file in store.list(owner)] == ["Q?"]
    assert store.list(Owner(name="another-person-here", tenant=owner.tenant)) == []
    assert owner.name not in str(path)
    other = store.save(owner, kept)
    path.write_text("{}")
    with pytest.raises(InputError, match="no run that can be shown"):
        load_kept_run(path)
    assert [file.path for file in store.list(owner)] == [other]


def test_recordings_can_be_shown_and_say_what_they_are() -> None:
    assert len(recordings()) >= 2
    for path in recordings():
        kept = load_kept_run(path)
        assert kept.recorded
        view = run_view(kept.events)
        assert view.answer
        assert view.stopped_by == "finished"


def test_steps_that_need_others_stand_behind_them() -> None:
    plan = [
        PlanNode(label="#E1", text="a", needs=()),
        PlanNode(label="#E2", text="b", needs=()),
        PlanNode(label="#E3", text="c <b>", needs=("#E1", "#E2"), state="failed"),
    ]
    assert [[node.label for node in level] for level in levels(plan)] == [["#E1", "#E2"], ["#E3"]]
    html = plan_html(plan)
    assert "✗ failed" in html
    assert "<b>" not in html.replace("<b>#E", "")
    assert plan_html([]) == ""


def test_results_of_tools_are_shown_as_text() -> None:
    data = {"step": "1.1", "tool": "t", "text": "<img src=x>", "failed": True, "trimmed": False}
    view = run_view([RunEvent(kind="Observed", at=0, data=data)])
    html = steps_html(view.items)
    assert "<img" not in html
    assert "rk-failed" in html


def test_the_needs_of_tasks_come_from_the_planner() -> None:
    planned = {"step": "1", "steps": [["task 1", "A"], ["task 2", "B"]]}
    reply = json.dumps({"steps": [{"task": "A", "needs": []}, {"task": "B", "needs": [1]}]})
    step: dict[str, Json] = {"id": "1", "name": "planner", "prompt": [], "reply": reply}
    result: dict[str, Json] = {
        "answer": "x",
        "pending": [],
        "steps": [step],
        "stopped_by": "finished",
    }
    view = run_view(
        [
            RunEvent(kind="Planned", at=0, data=planned),
            RunEvent(kind="Called", at=0, data={"step": "2/1.1", "tool": "t", "arguments": {}}),
            RunEvent(kind="Finished", at=1, data={"result": result}),
        ]
    )
    assert [node.needs for node in view.plan] == [(), ("task 1",)]


def test_gauges_say_numbers_beside_their_bars() -> None:
    assert "1,200 of 2,000 tokens" in gauge_html("tokens", 1200, 2000)
    assert "width:60%" in gauge_html("tokens", 1200, 2000)
    assert "no limit" in gauge_html("steps", 3, None)


def test_a_folder_that_cannot_be_written_is_a_sentence(make_workspace: MakeWorkspace) -> None:
    workspace = _scripted(make_workspace, says_finish("Yes."))
    workspace.data.mkdir(parents=True, exist_ok=True)
    (workspace.data / "agents").write_text("a file")
    run = _run(workspace, "calculator")
    assert "Fix: give a folder that can be written with --data." in run.error
    (workspace.data / "agents").unlink()
    assert not _run(workspace, "calculator").error


def test_the_application_starts_without_the_packages_of_agents() -> None:
    heavy = ("langgraph", "aiosqlite")
    code = f"import sys, ragkit.ui.app; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
