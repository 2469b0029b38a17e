import json
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from ragkit.agents import react, resume, run
from ragkit.agents.approval import Approvals, approval_reasons, approve, edit, refuse
from ragkit.core.errors import InputError
from ragkit.core.types import Json, Permission
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM


async def test_an_approve_tool_waits_for_a_person_while_its_sibling_is_done_once() -> None:
    llm = ScriptedLLM(
        [
            says_action("", ("send", {"text": "hello"}), ("look", {"text": "x"})),
            says_finish("Sent."),
        ]
    )
    send, look = RecordingTool(name="send", permission="approve"), RecordingTool(name="look")
    agent = react(llm, [send, look], checkpointer=InMemorySaver())
    result = await run(agent, "Q", thread="t")
    assert (result.stopped_by, result.answer) == ("approval", "")
    assert [(p.tool, p.arguments) for p in result.pending] == [("send", {"text": "hello"})]
    assert (len(send.calls), len(look.calls)) == (0, 1)
    result = await resume(agent, "t", approve())
    assert result.answer == "Sent."
    assert (len(send.calls), len(look.calls)) == (1, 1)
    assert llm.calls[1].messages[-1].content.index("send") < llm.calls[1].messages[
        -1
    ].content.index("look")


async def test_a_person_may_edit_or_refuse_and_a_bad_decision_asks_again() -> None:
    replies = [says_action("", ("send", {"text": "1"}), ("send", {"text": "2"})), says_finish("ok")]
    llm, send = ScriptedLLM(replies), RecordingTool(name="send", permission="approve")
    agent = react(llm, [send], checkpointer=InMemorySaver())
    one, two = (await run(agent, "Q", thread="t")).pending
    again = await resume(agent, "t", {one.id: edit({"wrong": 1})})
    assert "wrong" in again.pending[0].problem or "text" in again.pending[0].problem
    assert [pending.arguments for pending in again.pending] == [one.arguments, two.arguments]
    (second,) = (await resume(agent, "t", {again.pending[0].id: edit({"text": "better"})})).pending
    assert (second.arguments, second.problem) == ({"text": "2"}, "")
    result = await resume(agent, "t", refuse("not now"))
    assert result.answer == "ok"
    assert [dict(arguments) for arguments, _ in send.calls] == [{"text": "better"}]
    assert "A person refused this: not now" in llm.calls[-1].prompt


@pytest.mark.parametrize("arguments", [[1], "x", None, 3])
def test_an_edit_takes_an_object_only(arguments: object) -> None:
    with pytest.raises(InputError, match=r"which is no object\. Fix: give an object"):
        edit(cast("dict[str, Json]", arguments))


async def test_without_anybody_to_ask_the_call_is_refused() -> None:
    llm = ScriptedLLM([says_action("", ("send", {"text": "1"})), says_finish("Could not.")])
    send = RecordingTool(name="send", permission="approve")
    result = await run(react(llm, [send]), "Q")
    assert result.answer == "Could not."
    assert not send.calls
    assert "nobody can be asked" in llm.calls[1].prompt


@pytest.mark.parametrize(
    ("approvals", "before", "after"),
    [("untrusted", True, False), ("always", False, False), ("never", True, True)],
)
async def test_when_a_write_tool_may_act(approvals: str, before: bool, after: bool) -> None:
    replies = [
        says_action("", ("save", {"text": "1"})),
        says_action("", ("look", {"text": "1"})),
        says_action("", ("save", {"text": "2"})),
        says_finish("ok"),
    ]
    save, look = RecordingTool(name="save", permission="write"), RecordingTool(name="look")
    agent = react(ScriptedLLM(replies), [save, look], approvals=approvals, trusted_tools=["save"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await run(agent, "Q")
    saved = [arguments["text"] for arguments, _ in save.calls]
    assert saved == [text for text, may in (("1", before), ("2", after)) if may]


@pytest.mark.parametrize(
    ("permission", "approvals", "clean", "tainted"),
    [
        ("read", "always", "", ""),
        ("write", "never", "", ""),
        ("write", "untrusted", "", "may come from untrusted text"),
        ("write", "always", "every change needs approval", "every change needs approval"),
        ("approve", "never", "always needs approval", "always needs approval"),
    ],
)
def test_the_reason_to_ask_follows_from_permission_option_and_taint(
    permission: Permission, approvals: Approvals, clean: str, tainted: str
) -> None:
    reasons = approval_reasons([RecordingTool(name="t", permission=permission)], approvals)
    for taint, reason in ((False, clean), (True, tainted)):
        assert reason in reasons.get(("t", taint), "")
        assert bool(reason) == (("t", taint) in reasons)


async def test_the_interrupt_has_the_form_that_chat_clients_render() -> None:
    replies = [says_action("", ("send", {"text": "1"}), ("send", {"text": "2"})), says_finish("ok")]
    send = RecordingTool(name="send", permission="approve")
    agent: Any = react(ScriptedLLM(replies), [send], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    output = await agent.ainvoke({"messages": [("user", "Q")]}, config)
    (waiting,) = output["__interrupt__"]
    requests = waiting.value["action_requests"]
    assert [(one["name"], one["args"]) for one in requests] == [
        ("send", {"text": "1"}), ("send", {"text": "2"}),
    ]  # fmt: skip
    assert requests[0]["description"] == "send always needs approval."
    assert waiting.value["review_configs"] == [
        {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject"]}
    ]
    json.dumps(waiting.value)
    edited = {"type": "edit", "edited_action": {"name": "send", "args": {"text": "3"}}}
    rejected = {"type": "reject", "message": "No."}
    given: Command[str] = Command(resume={"decisions": [edited, rejected]})
    assert (await agent.ainvoke(given, config))["answer"] == "ok"
    assert [dict(arguments) for arguments, _ in send.calls] == [{"text": "3"}]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"decisions": []}, "has no decision for each of the 1 calls"),
        ({"decisions": [{"type": "approve"}] * 2}, "has no decision for each of the 1 calls"),
        ({"decisions": [{"type": "Approve"}]}, "is no decision"),
        ({"type": "edit", "edited_action": {"name": "other", "args": {}}}, "edits no call of send"),
        ({"type": "edit"}, "edits no call of send"),
        ("yes", "is no decision"),
    ],
)
async def test_an_answer_that_cannot_be_used_asks_again_and_nothing_is_done(
    answer: object, problem: str
) -> None:
    send = RecordingTool(name="send", permission="approve")
    llm = ScriptedLLM([says_action("", ("send", {"text": "1"})), says_finish("ok")])
    agent: Any = react(llm, [send], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await agent.ainvoke({"question": "Q"}, config)
    output = await agent.ainvoke(Command(resume=answer), config)
    assert problem in output["__interrupt__"][0].value["action_requests"][0]["problem"]
    assert not send.calls
    assert (await resume(agent, "t", approve())).answer == "ok"
    assert len(send.calls) == 1


async def test_a_tool_that_interrupts_by_itself_is_pending_with_its_value() -> None:
    def ask(_: object) -> Json:
        return cast("Json", interrupt({"which": "red or blue?"}))

    llm = ScriptedLLM([says_action("", ("ask", {"text": "x"})), says_finish("ok")])
    agent = react(llm, [RecordingTool(name="ask", does=ask)], checkpointer=InMemorySaver())
    (waiting,) = (await run(agent, "Q", thread="t")).pending
    assert (waiting.tool, waiting.reason) == ("", '{"which":"red or blue?"}')
    result = await resume(agent, "t", {waiting.id: "red"})
    assert result.answer == "ok"
    assert "red" in llm.calls[1].prompt
