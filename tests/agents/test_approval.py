import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import react, resume, run
from ragkit.agents.approval import Approvals, approval_reasons, approve, edit, refuse
from ragkit.core.types import Permission
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
    await run(agent, "Q", thread="t")
    again = await resume(agent, "t", edit({"wrong": 1}))
    assert "wrong" in again.pending[0].problem or "text" in again.pending[0].problem
    second = await resume(agent, "t", edit({"text": "better"}))
    assert second.pending[0].arguments == {"text": "2"}
    result = await resume(agent, "t", refuse("not now"))
    assert result.answer == "ok"
    assert [dict(arguments) for arguments, _ in send.calls] == [{"text": "better"}]
    assert "A person refused this: not now" in llm.calls[-1].prompt


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
