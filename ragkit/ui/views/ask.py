"""Ask: a conversation with the documents, each answer with its numbered passages."""

import streamlit as st

from ragkit.answering.conversations import Owner
from ragkit.core.errors import RagkitError
from ragkit.core.types import DocumentRecord
from ragkit.ui.answer_choices import (
    MODES,
    AnswerChoices,
    Mode,
    default_mode,
    document_labels,
    filter_of,
    settings_for,
)
from ragkit.ui.answer_job import AnswerJob, Request
from ragkit.ui.conversation_list import show_conversations
from ragkit.ui.conversations import Turn
from ragkit.ui.markup import answer_html, citation_line, live_html, meta_html, prose
from ragkit.ui.passage_dialog import show_passage
from ragkit.ui.session import current_owner, show_error
from ragkit.ui.stored_answer import StoredAnswer, StoredCitation
from ragkit.ui.wording import counted, plain
from ragkit.ui.workspace import Workspace

_LOOK_S = 0.1
_EXAMPLES = 4
_MAX_QUESTION = 2000
_AVATARS = {"user": ":material/person:", "assistant": ":material/menu_book:"}
_RETURNED = "returned"
"""The state's key of a question that was not sent, until it is in the field again."""
_NOT_SENT = "not-sent"
"""The state's key of the conversation whose last question was not sent."""


def show(workspace: Workspace) -> None:
    """Draw the page."""
    st.html('<span class="rk-narrow"></span>')
    owner = current_owner(workspace)
    conversation = show_conversations(workspace, owner)
    records = _records(workspace)
    choices = _show_choices(workspace, records)
    job = _job_of(workspace, owner, conversation)
    running = job if job is not None and job.running else None
    turns = workspace.conversations.read(owner, conversation) if conversation else []
    if not turns:
        _show_welcome(workspace, records)
    for turn in turns:
        _show_turn(workspace, turn)
    if job is not None and running is None and job.lost is not None:
        _show_lost(workspace, job, job.lost, ordinal=len(turns))
    question = _typed(conversation)
    if question and running is not None:
        _return_question(question, conversation)
    elif question:
        running = _ask(workspace, owner, conversation, turns, choices, question)
    if running is not None:
        _follow(running)


def _records(workspace: Workspace) -> list[DocumentRecord] | None:
    """Return the documents, or None where there is no usable index, which is said elsewhere."""
    if not workspace.models.ended:
        return None
    try:
        return workspace.documents()
    except RagkitError:
        return None


def _job_of(workspace: Workspace, owner: Owner, conversation: str | None) -> AnswerJob | None:
    """Return the last job of the owner's conversation, which may have ended."""
    job = workspace.answers.get(conversation or "")
    return job if job is not None and job.request.owner == owner else None


def _typed(conversation: str | None) -> str:
    """Draw the field and return the question that was sent, empty where none was."""
    returned = st.session_state.pop(_RETURNED, None)
    if returned is not None:
        st.session_state["question"] = returned
    if conversation is not None and st.session_state.get(_NOT_SENT) == conversation:
        st.info(
            "Your question was not sent, as this conversation was still being answered. Fix: send "
            "it again from the field below, once the answer is there.",
            icon=":material/schedule:",
        )
    typed = st.chat_input("Ask your documents", key="question", max_chars=_MAX_QUESTION)
    offered: str = st.session_state.pop("offered", "")
    return (typed or offered).strip()


def _return_question(question: str, conversation: str | None) -> None:
    """Draw the page again with the question in the field and a sentence about it."""
    st.session_state[_RETURNED], st.session_state[_NOT_SENT] = question, conversation
    st.rerun()


def _show_choices(workspace: Workspace, records: list[DocumentRecord] | None) -> AnswerChoices:
    """Draw how to answer, in the sidebar, and return the choices."""
    labels = document_labels(records or [])
    names: list[Mode] = list(MODES)
    with st.sidebar.expander("How to answer", icon=":material/tune:"):
        mode = st.radio(
            "Answered by",
            names,
            index=names.index(default_mode(workspace.settings)),
            format_func=MODES.__getitem__,
            key="mode",
        )
        model = ""
        if mode == "generative":
            model = st.text_input(
                "Language model",
                value=workspace.settings.llm.model or "",
                placeholder="vllm:http://127.0.0.1:8000",
                key="model",
                disabled=workspace.options.read_only,
            )
        k = st.slider("Passages to answer from", 1, 20, workspace.settings.retrieval.k, key="k")
        documents = st.multiselect(
            "Only these documents",
            list(labels),
            format_func=labels.__getitem__,
            key="documents",
        )
        where = st.text_input(
            "Only where", placeholder='year >= 2020 and lang == "en"', key="where"
        )
    return AnswerChoices(mode=mode, model=model, k=k, documents=tuple(documents), where=where)


def _show_welcome(workspace: Workspace, records: list[DocumentRecord] | None) -> None:
    if records is None:
        about = "Answers come with the passages they rest on, word for word."
    elif not records:
        about = "There is no document yet. Add some on the page Documents."
    else:
        chunks = sum(record.chunks for record in records)
        about = (
            f"{counted(len(records), 'document')}, {counted(chunks, 'passage')}. Answers come "
            "with the passages they rest on, word for word."
        )
    st.html(f'<div class="rk-hero"><h1>Ask your documents</h1><p>{prose(about)}</p></div>')
    offered = workspace.example_questions(_EXAMPLES)
    if not offered:
        return
    columns = st.columns(2)
    for place, question in enumerate(offered):
        columns[place % 2].button(
            plain(question),
            key=f"offer-{place}",
            width="stretch",
            on_click=_offer,
            args=(question,),
        )


def _offer(question: str) -> None:
    st.session_state["offered"] = question


def _show_turn(workspace: Workspace, turn: Turn) -> None:
    with st.chat_message(turn.author, avatar=_AVATARS[turn.author]):
        if turn.answer is not None:
            _show_answer(workspace, turn.answer, turn.ordinal)
            return
        st.html(f'<div class="rk-answer">{prose(turn.text)}</div>')
        if turn.author == "assistant":
            st.caption(":material/info: The sources of this answer cannot be read. Fix: ask again.")


def _show_answer(workspace: Workspace, answer: StoredAnswer, ordinal: int) -> None:
    if answer.outcome == "failed":
        st.error(plain(answer.text), icon=":material/error:")
    elif answer.outcome == "abstained":
        st.html(f'<div class="rk-answer rk-abstained">{prose(answer.text)}</div>')
    else:
        st.html(answer_html(answer))
    for note in answer.notes:
        st.caption(f":material/info: {plain(note)}")
    if answer.outcome == "stopped":
        st.caption(":material/stop_circle: Stopped by you; what was written is kept.")
    if answer.citations:
        _show_sources(workspace, "Sources", answer.citations, f"cite-{ordinal}")
    elif answer.outcome == "abstained" and answer.passages:
        with st.expander("The nearest passages, which do not answer it"):
            _show_sources(workspace, "Passages", answer.passages, f"near-{ordinal}")
    st.html(meta_html(answer))


def _show_lost(workspace: Workspace, job: AnswerJob, answer: StoredAnswer, *, ordinal: int) -> None:
    """Show an answer that is not among the turns, with the reason."""
    with st.chat_message("assistant", avatar=_AVATARS["assistant"]):
        _show_answer(workspace, answer, ordinal)
        st.error(plain(job.error), icon=":material/error:")


def _show_sources(
    workspace: Workspace, label: str, sources: tuple[StoredCitation, ...], key: str
) -> None:
    with st.container(horizontal=True, gap="small", key=key):
        for cited in sources:
            line = citation_line(cited)
            if st.button(
                f"[{cited.number:d}] {plain(_shortened(line))}",
                key=f"{key}-{cited.number}",
                help=plain(f"{label}: {line}"),
                icon=":material/format_quote:",
            ):
                show_passage(workspace, cited)


def _ask(  # everything that decides the answer
    workspace: Workspace,
    owner: Owner,
    conversation: str | None,
    turns: list[Turn],
    choices: AnswerChoices,
    question: str,
) -> AnswerJob | None:
    """Keep the question and start to answer it; an impossible choice keeps the question too."""
    try:
        settings = settings_for(workspace.settings, choices)
        if conversation is None:
            conversation = workspace.conversations.create(owner, question)
            st.session_state["conversation"] = conversation
        ordinal = workspace.conversations.add(owner, conversation, question, None)
        request = Request(
            owner=owner,
            conversation=conversation,
            question=question,
            settings=settings,
            where=filter_of(choices),
            turns=turns,
        )
        job = AnswerJob(workspace, request)
    except RagkitError as error:
        show_error(workspace, "ask", error)
        return None
    _remember(workspace, job)
    st.session_state.pop(_NOT_SENT, None)
    _show_turn(workspace, Turn(ordinal=ordinal, author="user", text=question))
    return job


def _remember(workspace: Workspace, job: AnswerJob) -> None:
    """Let every page find the job, and forget those whose answers are among the turns."""
    for conversation, other in list(workspace.answers.items()):
        if not other.running and other.lost is None:
            workspace.answers.pop(conversation, None)
    workspace.answers[job.request.conversation] = job


def _follow(job: AnswerJob) -> None:
    """Show the answer as it is written; the job goes on where this run of the script is ended."""
    with st.chat_message("assistant", avatar=_AVATARS["assistant"]):
        place, state = st.empty(), st.empty()
        st.button("Stop", icon=":material/stop_circle:", on_click=job.stop, key="stop-answer")
        said = shown = ""
        while job.running:
            # What did not change is not drawn again: drawing takes time from the answer.
            if (now := _progress(job)) != said:
                state.caption(said := now)
            if (text := job.written.text) != shown:
                place.html(live_html(shown := text))
            job.wait(_LOOK_S)
    st.rerun()


def _progress(job: AnswerJob) -> str:
    """Return what a job does, and from the first second on for how long."""
    phase = f"{job.written.phase.capitalize()}…"
    return phase if job.seconds < 1 else f"{phase} {job.seconds:.0f} s"


def _shortened(text: str, size: int = 64) -> str:
    return text if len(text) <= size else text[: size - 1].rstrip() + "…"
