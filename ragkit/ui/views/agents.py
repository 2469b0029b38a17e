"""Agents: run one, watch its steps, decide about its calls, look at any prompt, replay."""

import json
from html import escape
from pathlib import Path
from typing import get_args

import streamlit as st

from ragkit.agents import Budget
from ragkit.agents.approval import Approvals, Decision, approve, edit, refuse
from ragkit.answering.conversations import Owner
from ragkit.core.errors import InputError, RagkitError
from ragkit.core.types import Pattern
from ragkit.ui.agent_run import PLAIN_TOOLS, AgentRun
from ragkit.ui.markup import milliseconds, prose
from ragkit.ui.plan_graph import plan_html
from ragkit.ui.run_events import Item, KeptRun, RunView, run_view
from ragkit.ui.run_store import AgentChoices, load_kept_run, recordings
from ragkit.ui.session import current_owner, show_error
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.25
_SHOWN_CHARS = 1500
_OPEN = "open-run"
_PATTERNS: dict[Pattern, str] = {
    "react": "ReAct: think, call, look, again",
    "rewoo": "ReWOO: the whole plan first, then the calls",
    "plan": "Plan and execute: tasks, each with steps of its own",
}
_APPROVALS: dict[Approvals, str] = {
    "untrusted": "when its arguments may come from documents",
    "always": "always",
    "never": "never",
}
_CLASSES = {
    "thought": "rk-thought",
    "call": "rk-tool",
    "result": "",
    "approval": "rk-thought",
    "note": "",
    "plan": "",
}
_LIMITS = {"steps": "steps", "tokens": "tokens", "seconds": "seconds"}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    owner = current_owner(workspace)
    choices = _choices(workspace)
    _show_kept(workspace, owner)
    run = _last_run(workspace, owner)
    has_model = workspace.llm(choices.model or workspace.settings.llm.model) is not None
    if not has_model:
        _show_need()
    question = st.text_area(
        "Question", key="task", placeholder="What is the agent to find out or do?", height=80
    )
    busy = run is not None and run.running
    if st.button(
        "Run", type="primary", icon=":material/play_arrow:", disabled=busy or not has_model
    ):
        run = _start(workspace, owner, choices, question)
    opened: Path | None = st.session_state.get(_OPEN)
    if run is not None and opened is None:
        _show_run(workspace, owner, run)
    elif opened is not None:
        _show_replay(load_kept_run(opened))


def _choices(workspace: Workspace) -> AgentChoices:
    patterns: list[Pattern] = list(_PATTERNS)
    with st.sidebar:
        pattern = st.radio("Pattern", patterns, format_func=_PATTERNS.__getitem__, key="pattern")
        tools = st.multiselect(
            "Tools", PLAIN_TOOLS, default=["search_documents", "calculator"], key="tools"
        )
        more, model = "", ""
        if not workspace.options.read_only:
            more = st.text_input(
                "More tools", key="more-tools", placeholder="sql=FILE, http_get=HOST+HOST"
            )
            model = st.text_input(
                "Language model",
                key="agent-model",
                placeholder=workspace.settings.llm.model or "vllm:http://127.0.0.1:8000",
            )
        approvals: list[Approvals] = list(get_args(Approvals))
        ask = st.selectbox(
            "Ask me before a tool writes",
            approvals,
            format_func=_APPROVALS.__getitem__,
            key="approvals",
        )
        with st.expander("Budget"):
            steps = st.slider("Steps", 2, 40, 16, key="budget-steps")
            tokens = st.slider("Tokens (thousands)", 4, 400, 200, 4, key="budget-tokens")
            seconds = st.slider("Seconds", 10, 1200, 600, 10, key="budget-seconds")
    extra = tuple(name.strip() for name in more.split(",") if name.strip())
    return AgentChoices(
        pattern=pattern,
        tools=(*tools, *extra),
        model=model.strip(),
        budget=Budget(steps=steps, tokens=tokens * 1000, seconds=float(seconds)),
        approvals=ask,
    )


def _show_need() -> None:
    st.info(
        "An agent needs a language model. Start one (`vllm serve MODEL`), then enter "
        "`vllm:http://127.0.0.1:8000` on the left or start with `ragkit ui --llm "
        "vllm:http://127.0.0.1:8000`. Until then, look at a recorded run:",
        icon=":material/smart_toy:",
    )
    with st.container(horizontal=True):
        for path in recordings():
            st.button(
                plain(f"Recorded: {path.stem}"),
                key=f"recording-{path.stem}",
                icon=":material/movie:",
                on_click=_open,
                args=(path,),
            )


def _open(path: Path | None) -> None:
    st.session_state[_OPEN] = path


def _show_kept(workspace: Workspace, owner: Owner) -> None:
    kept = workspace.agent_store.list(owner)
    if not kept:
        return
    with st.sidebar.expander(f"Kept runs ({len(kept)})"):
        for file in kept:
            st.button(
                plain(file.question[:60]),
                key=f"kept-{file.path.stem}",
                type="tertiary",
                on_click=_open,
                args=(file.path,),
            )


def _start(
    workspace: Workspace, owner: Owner, choices: AgentChoices, question: str
) -> AgentRun | None:
    _open(None)
    before = workspace.agent_runs.get(owner.name)
    try:
        run = AgentRun(workspace, choices, question, owner=owner)
    except RagkitError as error:
        show_error(workspace, "agents", error)
        return None
    workspace.agent_runs[owner.name] = run
    if before is not None:
        before.give_up()
    return run


def _last_run(workspace: Workspace, owner: Owner) -> AgentRun | None:
    """Return the owner's last run, or the one that waited when the application ended."""
    if owner.name not in workspace.agent_runs:
        try:
            run = AgentRun.taken_up(workspace, owner)
        except RagkitError as error:
            show_error(workspace, "agents", error)
            return None
        if run is None:
            return None
        workspace.agent_runs.setdefault(owner.name, run)  # another page may have taken it up
    return workspace.agent_runs[owner.name]


def _show_run(workspace: Workspace, owner: Owner, run: AgentRun) -> None:
    if run.running:
        _follow(workspace, owner)
        return
    kept = run.kept()
    view = run_view(kept.events)
    _show_view(kept, view)
    if run.error:
        st.error(plain(run.error), icon=":material/error:")
    elif run.stopped:
        st.caption(":material/stop_circle: Stopped by you.")
    elif view.pending:
        _show_pending(run, view)
        return
    if run not in workspace.kept_agent_runs:
        workspace.kept_agent_runs.append(run)
        workspace.agent_store.save(owner, kept)
    _show_prompts(view)


@st.fragment(run_every=_REFRESH_S)
def _follow(workspace: Workspace, owner: Owner) -> None:
    run = workspace.agent_runs.get(owner.name)
    if run is None or not run.running:
        st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/progress_activity: Working… {milliseconds(run.seconds)}")
        st.button("Stop", icon=":material/stop_circle:", on_click=run.stop, key="stop-run")
    kept = run.kept()
    _show_view(kept, run_view(kept.events))


def _show_view(kept: KeptRun, view: RunView) -> None:
    if kept.recorded:
        st.warning(plain(f"Recorded: {kept.recorded}"), icon=":material/movie:")
    st.markdown(f"**{plain(kept.question)}**")
    st.caption(plain(f"{kept.pattern} on {kept.model} with {', '.join(kept.tools)}"))
    columns = st.columns(len(_LIMITS))
    for column, name in zip(columns, _LIMITS, strict=True):
        column.html(gauge_html(name, view.used.get(name, 0.0), kept.limits.get(name)))
    if view.plan:
        st.html(plan_html(view.plan))
    st.html(steps_html(view.items))
    if (view.answer and kept.pattern != "plan") or view.stopped_by == "finished":
        st.html(f'<div class="rk-answer rk-final">{prose(view.answer)}</div>')
    if view.stopped_by not in {"", "finished", "approval"}:
        st.caption(f":material/flag: Ended early: {plain(view.stopped_by)}.")


def gauge_html(name: str, used: float, limit: float | None) -> str:
    """Return how much of a limit is used, in numbers and as a bar."""
    shown = f"{used:,.1f}" if name == "seconds" else f"{used:,.0f}"
    if limit is None:
        return f'<div class="rk-gauge">{shown} {name}, no limit</div>'
    width = round(100 * min(1.0, used / limit))
    return (
        f'<div class="rk-gauge">{shown} of {limit:,.0f} {name}'
        f'<i><b style="width:{width}%"></b></i></div>'
    )


def steps_html(items: list[Item]) -> str:
    """Return the lines of a run, nested ones further right."""
    return f'<ol class="rk-steps">{"".join(map(_item_html, items))}</ol>'


def _item_html(item: Item) -> str:
    text = item.text
    if len(text) > _SHOWN_CHARS:
        text = f"{text[:_SHOWN_CHARS]} … ({len(item.text) - _SHOWN_CHARS:,} more characters)"
    classes = f"{_CLASSES[item.kind]}{' rk-failed' if item.failed else ''}"
    return (
        f'<li class="{classes}" style="margin-left:{1.1 * item.depth}rem">'
        f'<span class="rk-kind">{escape(item.step)} · {escape(item.head)}</span>'
        f"{escape(text)}</li>"
    )


def _show_pending(run: AgentRun, view: RunView) -> None:
    """Show each call that waits, and continue once all are decided."""
    decisions: dict[str, Decision] = {}
    for call in view.pending:
        with st.container(border=True):
            st.markdown(
                f"**{plain(str(call['tool']))}** waits for you. {plain(str(call['reason']))}"
            )
            if call.get("problem"):
                st.error(plain(str(call["problem"])), icon=":material/error:")
            text = st.text_area(
                "Arguments",
                json.dumps(call["arguments"], ensure_ascii=False, indent=1),
                key=f"arguments-{call['id']}",
            )
            reason = st.text_input("Reason, if you refuse", key=f"reason-{call['id']}")
            choice = st.segmented_control(
                "Decision", ["Approve", "Refuse"], key=f"decision-{call['id']}"
            )
            if choice == "Refuse":
                decisions[call["id"]] = refuse(reason)
            elif (
                choice == "Approve" and (decided := _approved(call["arguments"], text)) is not None
            ):
                decisions[call["id"]] = decided
    ready = len(decisions) == len(view.pending)
    st.button(
        "Continue",
        type="primary",
        key="continue-run",
        disabled=not ready,
        on_click=run.decide,
        args=(decisions,),
    )


def _approved(arguments: object, text: str) -> Decision | None:
    """Return the decision to call with these arguments, as they are or edited."""
    try:
        written = json.loads(text)
        return approve() if written == arguments else edit(written)
    except InputError as error:
        problem = str(error)
    except (ValueError, RecursionError) as error:
        problem = f"The arguments are no JSON ({error}). Fix: correct them."
    st.error(plain(problem), icon=":material/error:")
    return None


def _show_prompts(view: RunView) -> None:
    asked = [step for step in view.steps if step["prompt"]]
    if not asked:
        return
    with st.expander("The whole prompt of any step"):
        place = st.selectbox(
            "Step",
            range(len(asked)),
            format_func=lambda number: f"{asked[number]['id']} {asked[number]['name']}",
            key="prompt-step",
        )
        for message in asked[place]["prompt"]:
            st.caption(plain(message["role"]))
            st.code(message["content"], language=None, wrap_lines=True)
        st.caption("reply")
        st.code(asked[place]["reply"], language=None, wrap_lines=True)


def _show_replay(kept: KeptRun) -> None:
    """Show a kept run up to a chosen event."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Close", key="close-run", on_click=_open, args=(None,))
    last = until = len(kept.events)
    if not last:
        st.caption("The run ended before its first event.")
    else:
        until = st.slider("Events", 0, last, last, key=f"replay-{kept.question[:40]}-{last}")
        at = kept.events[until - 1].at if until else 0.0
        st.caption(f"{at:.1f} s after the start")
    view = run_view(kept.events[:until])
    _show_view(kept, view)
    _show_prompts(view)
