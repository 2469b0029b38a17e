import functools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from ragkit.answering.conversations import Owner
from ragkit.core.sync import run_sync
from ragkit.testing.llm import Said, ScriptedCall, ScriptedLLM, random_replies
from ragkit.testing.model_server import (
    EmulatedModelServer,
    ServerRequest,
    ServerResponse,
    chat_events,
    served_models,
)
from ragkit.ui.answer_choices import AnswerChoices, Mode, filter_of, settings_for
from ragkit.ui.answer_job import NO_HISTORY, AnswerJob, Request
from ragkit.ui.stored_answer import StoredAnswer
from ragkit.ui.workspace import Workspace
from tests.ui.conftest import MakeWorkspace, filled

STANDALONE = "How long do refunds take?"


def _script(call: ScriptedCall) -> Said:
    if "Rewrite the last question" in call.messages[0].content:
        return json.dumps({"question": STANDALONE}, separators=(",", ":"))
    return random_replies(3, ending=0.6)(call)


def ask(
    workspace: Workspace,
    owner: Owner,
    question: str,
    *,
    mode: Mode = "extractive",
    where: str = "",
    model: str = "",
    conversation: str | None = None,
) -> tuple[AnswerJob, str]:
    choices = AnswerChoices(mode=mode, where=where, model=model)
    key = conversation or workspace.conversations.create(owner, question)
    turns = workspace.conversations.read(owner, key)
    workspace.conversations.add(owner, key, question, None)
    request = Request(
        owner=owner,
        conversation=key,
        question=question,
        settings=settings_for(workspace.settings, choices),
        where=filter_of(choices),
        turns=turns,
    )
    return AnswerJob(workspace, request), key


def answer_of(workspace: Workspace, owner: Owner, key: str) -> StoredAnswer:
    answer = workspace.conversations.read(owner, key)[-1].answer
    assert answer is not None
    return answer


def test_an_answer_is_kept_with_citations_and_the_time_of_each_stage(
    workspace: Workspace, owner: Owner
) -> None:
    job, key = ask(workspace, owner, "How long do refunds take?")
    assert job.wait(60)
    answer = answer_of(workspace, owner, key)
    assert answer.outcome == "answered"
    assert answer.citations[0].uri == "shop/refunds.md"
    assert [cited.number for cited in answer.citations] == list(range(1, len(answer.citations) + 1))
    assert {"search", "fusion", "answer"} <= set(answer.seconds)
    assert set(workspace.latencies.all()) == set(answer.seconds)


def test_a_follow_up_without_a_model_is_asked_as_it_is_and_says_so(
    workspace: Workspace, owner: Owner
) -> None:
    first, key = ask(workspace, owner, "How long do refunds take?")
    assert first.wait(60)
    second, _ = ask(workspace, owner, "And gift cards?", conversation=key)
    assert second.wait(60)
    answer = answer_of(workspace, owner, key)
    assert answer.notes == (NO_HISTORY,)
    assert answer.asked == "And gift cards?"
    assert len(workspace.conversations.read(owner, key)) == 4


def test_a_follow_up_with_a_model_is_completed_from_the_conversation(
    make_workspace: MakeWorkspace, owner: Owner
) -> None:
    workspace = filled(make_workspace(ScriptedLLM(_script)))
    first, key = ask(workspace, owner, "What about refunds?", mode="generative")
    assert first.wait(60)
    second, _ = ask(workspace, owner, "How long?", mode="generative", conversation=key)
    assert second.wait(60)
    answer = answer_of(workspace, owner, key)
    assert answer.asked == STANDALONE
    assert answer.notes == (f"Searched for: {STANDALONE}",)
    assert answer.by == "scripted"


def test_what_was_written_before_the_stop_is_kept(
    make_workspace: MakeWorkspace, owner: Owner
) -> None:
    llm = ScriptedLLM(random_replies(7, ending=0.01), delay_s=0.005)
    workspace = filled(make_workspace(llm))
    job, key = ask(workspace, owner, "How long do refunds take?", mode="generative")
    while not job.written.text and job.running:
        job.wait(0.01)
    job.stop()
    turns = workspace.conversations.read(owner, key)
    assert len(turns) == 2
    if turns[-1].answer is not None and turns[-1].answer.outcome == "stopped":
        assert turns[-1].text == job.written.text != ""


def test_a_model_server_that_is_down_is_a_sentence_and_the_question_is_kept(
    workspace: Workspace, owner: Owner
) -> None:
    choices = AnswerChoices(mode="generative", model="vllm:http://127.0.0.1:9")
    key = workspace.conversations.create(owner, "x")
    workspace.conversations.add(owner, key, "How long?", None)
    settings = settings_for(workspace.settings, choices)
    llm = settings.llm.model_copy(update={"timeout_s": 5.0})
    request = Request(
        owner=owner,
        conversation=key,
        question="How long?",
        settings=settings.model_copy(update={"llm": llm}),
    )
    job = AnswerJob(workspace, request)
    assert job.wait(120)
    answer = answer_of(workspace, owner, key)
    assert answer.outcome == "failed"
    assert "127.0.0.1:9" in answer.text
    assert "Traceback" not in answer.text
    assert workspace.conversations.read(owner, key)[0].text == "How long?"
    assert workspace.failures.all()[0].part == "ask"


def test_a_model_server_that_dies_in_the_middle_is_a_sentence_with_a_fix(
    workspace: Workspace, owner: Owner
) -> None:
    def respond(request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/models":
            return served_models("emulated", context=4096)
        if request.body.get("stream"):
            return ServerResponse(events=chat_events('{"quotes":[],', '"suffi')[:-2])
        return ServerResponse(body={"choices": [{"message": {"content": "ab"}}]})

    server = EmulatedModelServer(respond)
    run_sync(server.__aenter__)
    try:
        model = f"vllm:{server.url}"
        job, key = ask(
            workspace, owner, "How long do refunds take?", mode="generative", model=model
        )
        assert job.wait(120)
    finally:
        run_sync(lambda: server.__aexit__(None, None, None))
    answer = answer_of(workspace, owner, key)
    assert answer.outcome == "failed"
    assert answer.text.startswith(f"The response of {server.url} is broken")
    assert "Fix: read the server's log" in answer.text
    assert workspace.conversations.read(owner, key)[0].text == "How long do refunds take?"


def test_only_chosen_documents_are_asked(workspace: Workspace, owner: Owner) -> None:
    job, key = ask(workspace, owner, "How long do refunds take?", where='uri == "museum.txt"')
    assert job.wait(60)
    answer = answer_of(workspace, owner, key)
    assert {passage.uri for passage in answer.passages} <= {"museum.txt"}


def test_a_wrong_filter_is_a_sentence(workspace: Workspace, owner: Owner) -> None:
    job, key = ask(workspace, owner, "x", where="nothing like this")
    assert job.wait(60)
    assert answer_of(workspace, owner, key).outcome == "failed"


def test_a_job_answers_once_however_often_it_is_looked_at(
    workspace: Workspace, owner: Owner
) -> None:
    job, key = ask(workspace, owner, "How long do refunds take?")
    looks: list[Callable[[], object]] = [functools.partial(job.wait, 60)] * 3
    for look in looks:
        look()
    assert len(workspace.conversations.read(owner, key)) == 2


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (AnswerChoices(mode="reader"), ""),
        (AnswerChoices(mode="reader", where=" year > 1 "), "(year > 1)"),
        (AnswerChoices(mode="reader", documents=('a"b',)), 'uri in ["a\\"b"]'),
        (
            AnswerChoices(mode="reader", documents=("a", "b"), where="x == 1 or y == 2"),
            '(x == 1 or y == 2) and uri in ["a", "b"]',
        ),
    ],
)
def test_documents_and_conditions_become_one_filter(choices: AnswerChoices, expected: str) -> None:
    assert filter_of(choices) == expected


def test_the_model_entered_is_used_and_otherwise_that_of_the_settings(workspace: Workspace) -> None:
    entered = AnswerChoices(mode="generative", model=" local:x ", k=9)
    assert settings_for(workspace.settings, entered).llm.model == "local:x"
    assert settings_for(workspace.settings, entered).retrieval.k == 9
    assert settings_for(workspace.settings, replace(entered, model="")).llm.model is None
