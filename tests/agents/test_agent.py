import logging
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.constants import END, START
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    MessagesState,
)
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)

from ragkit.agents import (
    Agent,
    AgentOptions,
    Budget,
    Hook,
    Member,
    MemoryJournal,
    explain,
    plan_and_execute,
    react,
    reflect,
    resume,
    rewoo,
    run,
    self_consistency,
    stream,
    team,
    tree_of_thought,
)
from ragkit.agents.approval import approve
from ragkit.agents.events import AnswerText, Called, Finished, Observed, Thought, Used
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.types import Citation
from ragkit.testing.agents import RecordingTool, says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


async def test_the_events_of_a_run_come_in_order_and_thoughts_in_pieces() -> None:
    llm = ScriptedLLM(
        [
            says_action("A thought of some length.", ("a", {"text": "x"})),
            says_finish("The end of it."),
        ]
    )
    events = [event async for event in stream(react(llm, [RecordingTool(name="a")]), "Q")]
    thought = [event.text for event in events if isinstance(event, Thought) and event.step == "1"]
    assert len(thought) > 1
    assert "".join(thought) == "A thought of some length."
    assert (
        "".join(event.text for event in events if isinstance(event, AnswerText)) == "The end of it."
    )
    kinds = [type(event) for event in events if not isinstance(event, Thought | AnswerText)]
    assert kinds == [Used, Called, Observed, Used, Finished]


async def test_resuming_needs_a_checkpointer_a_stopped_run_and_a_decision() -> None:
    llm = ScriptedLLM([says_action("", ("send", {"text": "1"}))])
    send = RecordingTool(name="send", permission="approve")
    with pytest.raises(ConfigError, match="checkpointer"):
        await resume(react(llm, [send]), "t", approve())
    agent = react(llm, [send], checkpointer=InMemorySaver())
    with pytest.raises(InputError, match="nothing to resume"):
        await resume(agent, "t", approve())
    await run(agent, "Q", thread="t")
    with pytest.raises(InputError, match="waits for a decision"):
        await resume(agent, "t")


async def test_a_thread_remembers_earlier_questions() -> None:
    llm = ScriptedLLM([says_finish("It is blue."), says_finish("As I said.")])
    agent = react(llm, [RecordingTool(name="a")], checkpointer=InMemorySaver())
    await run(agent, "What colour?", thread="t")
    second = await run(agent, "Again?", thread="t")
    assert "What colour?" in llm.calls[1].prompt
    assert "It is blue." in llm.calls[1].prompt
    assert len(second.steps) == 1


async def test_checkpoints_of_sqlite_bring_a_run_back_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def reply(call: ScriptedCall) -> str:
        return (
            says_action("", ("a", {"text": "x"}), ("send", {"text": "y"}))
            if len(call.messages) == 2
            else says_finish("ok")
        )

    send = RecordingTool(name="send", permission="approve")
    look = RecordingTool(name="a", does=lambda _: {"n": 2**70, "bad": "\ud800"})
    journal = MemoryJournal()
    with caplog.at_level(logging.WARNING):
        for turn in range(2):
            async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
                agent = react(ScriptedLLM(reply), [look, send], checkpointer=saver, journal=journal)
                if turn == 0:
                    await run(agent, "Q", thread="t")
                else:
                    assert (await resume(agent, "t", approve())).answer == "ok"
    assert len(look.calls) == len(send.calls) == 1
    assert not caplog.records


async def test_checkpoints_do_not_keep_a_document_again_at_each_step(tmp_path: Path) -> None:
    replies = [says_action("", ("a", {"text": f"number {n}"})) for n in range(8)]
    tool = RecordingTool(name="a", does=lambda given: f"MARK {given['text']} " + "words " * 200)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
        llm = ScriptedLLM([*replies, says_finish("ok")])
        agent = react(llm, [tool], checkpointer=saver)
        assert (await run(agent, "Q", thread="t")).answer == "ok"
        state = await agent.aget_state({"configurable": {"thread_id": "t"}})
        assert len(state.values["messages"]) == 18
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    # Once as the result, once within the message that showed it, and perhaps a page left behind.
    assert 1 <= kept.count(b"MARK number 0") <= 4


def test_only_agents_can_be_explained() -> None:
    graph: Any = StateGraph(State)
    graph.add_node("a", lambda state: state)  # pyright: ignore[reportUnknownLambdaType]
    graph.add_edge(START, "a")
    with pytest.raises(InputError, match="no agent of ragkit"):
        explain(graph.compile())


class State(TypedDict, total=False):
    question: str
    answer: str
    loud: str


async def test_an_agent_is_a_node_of_a_graph_of_ones_own() -> None:
    def shout(state: State) -> State:
        return {"loud": state.get("answer", "").upper()}

    graph: Any = StateGraph(State)
    graph.add_node("agent", react(ScriptedLLM([says_finish("quiet")]), [RecordingTool(name="a")]))
    graph.add_node("shout", shout)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "shout")
    graph.add_edge("shout", END)
    state = await graph.compile().ainvoke({"question": "Q"})
    assert state == {"question": "Q", "answer": "quiet", "loud": "QUIET"}


def test_explain_lists_the_prompts_and_they_can_be_replaced() -> None:
    agent = tree_of_thought(ScriptedLLM([]), prompts={"conclude": "Answer in verse."})
    explained = explain(agent)
    assert explained.pattern == "tree_of_thought"
    assert explained.prompts["conclude"] == "Answer in verse."
    assert set(explained.prompts) == {"propose", "rate", "conclude", "thoughts", "untrusted"}
    assert "Answer in verse." in str(explained)


# To every client of LangGraph


LOOK = says_action("Look it up.", ("look", {"text": "x"}))


def looking(*answers: str, **options: Unpack[AgentOptions]) -> Any:
    """An agent that looks once and then answers, for each of the answers.

    `Any`: the types of LangGraph's methods are only partly known.
    """
    replies = [reply for answer in answers for reply in (LOOK, says_finish(answer))]
    source = Citation(chunk_id="c", uri="u", quote="q", start=0, end=1)
    tool = RecordingTool(name="look", citations=(source,))
    return react(ScriptedLLM(replies), [tool], **options)


def test_the_schemas_hold_messages_and_nothing_private() -> None:
    for agent in (
        looking(),
        rewoo(ScriptedLLM([]), [RecordingTool(name="a")]),
        plan_and_execute(ScriptedLLM([]), [RecordingTool(name="a")]),
        reflect(looking(), "Good.", llm=ScriptedLLM([])),
        team(ScriptedLLM([]), {"one": Member(agent=looking(), does="Looks.")}),
        self_consistency(ScriptedLLM([])),
        tree_of_thought(ScriptedLLM([])),
    ):
        given: Any = agent.get_input_jsonschema()
        taken: Any = agent.get_output_jsonschema()
        assert sorted(given["properties"]) == ["messages", "question"]
        assert given["properties"]["messages"]["type"] == "array"
        assert sorted(taken["properties"]) == [
            "answer", "citations", "messages", "stopped_by", "structured_response",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"messages": [{"role": "user", "content": "Q?"}]},
        {"messages": [("user", "Q?")]},
        {"messages": [HumanMessage(content=[{"type": "text", "text": "Q?"}])]},
        {"question": "Q?"},
    ],
)
async def test_the_output_holds_the_messages_of_the_run(given: dict[str, Any]) -> None:
    output = await looking("It is x.").ainvoke(given)
    human, calls, result, answer = output["messages"]
    assert (human.type, human.text) == ("human", "Q?")
    (call,) = calls.tool_calls
    assert (calls.content, call["name"], call["args"]) == ("Look it up.", "look", {"text": "x"})
    assert (result.tool_call_id, result.content, result.status) == (call["id"], "look:x", "success")
    assert (answer.content, answer.name) == ("It is x.", "react")
    assert answer.additional_kwargs["citations"][0]["uri"] == "u"
    assert answer.usage_metadata["output_tokens"] > 0
    assert output["answer"] == "It is x."
    assert sorted(output) == [
        "answer", "citations", "messages", "stopped_by", "structured_response",
    ]  # fmt: skip


async def test_values_and_updates_are_of_the_output_alone() -> None:
    given = {"question": "Q?"}
    values = [part async for part in looking("ok").astream(given, stream_mode="values")]
    assert [len(part.get("messages", [])) for part in values] == [1, 2, 3, 4]
    updates = [part async for part in looking("ok").astream(given, stream_mode="updates")]
    assert [list(part) for part in updates] == [
        ["start"], ["model"], ["tools"], ["model"], ["answer"],
    ]  # fmt: skip
    public = {"answer", "citations", "messages", "stopped_by", "structured_response"}
    changes = [change for part in updates for change in part.values() if change]
    assert all(set(change) <= public for change in [*values, *changes])


async def test_the_answer_streams_in_chunks_of_its_message() -> None:
    agent = looking("A longer answer than one piece.")
    given = {"question": "Q?"}
    pieces = [part async for part in agent.astream(given, stream_mode="messages")]
    chunks = [message for message, _ in pieces if isinstance(message, AIMessageChunk)]
    assert len(chunks) > 1
    assert "".join(str(chunk.content) for chunk in chunks) == "A longer answer than one piece."
    output = await looking("A longer answer than one piece.").ainvoke(given)
    assert {chunk.id.split(":")[-1] for chunk in chunks if chunk.id} == {"2"}
    assert output["messages"][-1].id.split(":")[-1] == "2"
    kinds = [message.type for message, _ in pieces if not isinstance(message, AIMessageChunk)]
    assert kinds == ["human", "ai", "tool"]


async def test_events_reach_langchains_own_stream() -> None:
    given = {"question": "Q?"}
    agent = looking("ok")
    names = [event["name"] async for event in agent.astream_events(given, version="v2")]
    assert {"start", "model", "tools", "answer"} <= set(names)


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
def test_a_synchronous_caller_gets_the_same_with_a_synchronous_saver(
    pattern: str, tmp_path: Path
) -> None:
    tool = RecordingTool(name="look")
    tasks = '{"thought":"","steps":[{"task":"Look.","needs":[]}]}'
    with SqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
        agent: Any = {
            "react": lambda: react(
                ScriptedLLM([LOOK, says_finish("ok")]), [tool], checkpointer=saver
            ),
            "rewoo": lambda: rewoo(
                ScriptedLLM([says_plan(("look", {"text": "x"})), "ok"]), [tool], checkpointer=saver
            ),
            "plan": lambda: plan_and_execute(
                ScriptedLLM([tasks, LOOK, says_finish("seen"), "ok"]), [tool], checkpointer=saver
            ),
        }[pattern]()
        config: RunnableConfig = {"configurable": {"thread_id": "t"}}
        output = agent.invoke({"messages": [("user", "Q?")]}, config)
        assert output["answer"] == "ok"
        assert [message.type for message in output["messages"]] == ["human", "ai", "tool", "ai"]
        assert agent.get_state(config).values["messages"][-1].content == "ok"


async def test_a_thread_goes_on_with_new_messages() -> None:
    llm = ScriptedLLM([says_finish("It is blue."), says_finish("As I said.")])
    agent: Any = react(llm, [], checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}
    await agent.ainvoke({"messages": [("user", "What colour?")]}, config)
    output = await agent.ainvoke({"messages": [("user", "Sure?")]}, config)
    assert "Question: What colour?" in llm.calls[1].prompt
    assert "Answer: It is blue." in llm.calls[1].prompt
    assert llm.calls[1].prompt.count("Sure?") == 1
    texts = [message.content for message in output["messages"]]
    assert texts == ["What colour?", "It is blue.", "Sure?", "As I said."]


async def test_a_conversation_that_a_client_keeps_itself_is_read_from_its_messages() -> None:
    llm = ScriptedLLM([says_finish("ok")])
    messages = [("system", "Be kind."), ("user", "One?"), ("assistant", "1."), ("user", "Two?")]
    await run(react(llm, []), messages)
    prompt = llm.calls[0].messages[1].content
    assert "Instructions: Be kind.\nQuestion: One?\nAnswer: <data" in prompt
    assert "Question: Two?" in prompt.splitlines()


async def test_a_turn_longer_than_the_room_is_remembered_in_part() -> None:
    llm = ScriptedLLM([says_finish("ok")])
    await run(react(llm, []), [("user", "Q?"), ("ai", "BEGIN" + "x" * 6000), ("user", "And?")])
    prompt = llm.calls[0].messages[1].content
    assert "BEGINxxx" in prompt
    assert len(prompt) < 5000


async def test_the_agents_inside_are_part_of_the_drawing() -> None:
    agent = plan_and_execute(ScriptedLLM([]), [RecordingTool(name="a")])
    assert any(name.startswith("execute:") for name in agent.get_graph(xray=True).nodes)
    lead: Any = team(ScriptedLLM([]), {"one": Member(agent=looking(), does="Looks.")})
    assert [name for name, _ in lead.get_subgraphs()] == ["tools"]


async def test_private_values_are_no_input() -> None:
    inherited: Any = {
        "run": "other", "path": "", "fence": "known", "tainted": False, "limits": {},
        "background": [],
    }  # fmt: skip
    llm = ScriptedLLM([says_finish("ok")])
    given: Any = {"question": "Q", "inherited": inherited, "run": "other", "fence": "known"}
    config: Any = {"configurable": {"ragkit_handover": inherited}}
    agent: Any = react(llm, [])
    output = await agent.ainvoke(given, config)
    assert "known" not in llm.calls[0].prompt
    assert not output["messages"][0].id.startswith("other")


async def test_an_agent_joins_a_graph_of_messages() -> None:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("agent", looking("It is x."))
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    output = await graph.compile().ainvoke({"messages": [("user", "Q?")]})
    assert [message.type for message in output["messages"]] == ["human", "ai", "tool", "ai"]
    assert output["messages"][-1].content == "It is x."


# Options

PATTERNS = ("react", "rewoo", "plan", "reflect", "team", "consistency", "tree")


def made(pattern: str, **options: Any) -> Agent:
    """An agent of this pattern; `Any`: options that may be wrong."""
    llm, tools = ScriptedLLM([]), options.pop("tools", [RecordingTool(name="a")])
    match pattern:
        case "react":
            return react(llm, tools, **options)
        case "rewoo":
            return rewoo(llm, tools, **options)
        case "plan":
            return plan_and_execute(llm, tools, **options)
        case "reflect":
            return reflect(looking(), "Good.", llm=llm, **options)
        case "team":
            return team(llm, {"one": Member(agent=looking(), does="Looks.")}, **options)
        case "consistency":
            return self_consistency(llm, **options)
        case _:
            return tree_of_thought(llm, **options)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"approval": "always"}, "no option 'approval'. Fix: use approvals"),
        ({"approvals": "Always"}, "approvals is 'Always'. Fix: use one of"),
        ({"trusted_tools": ["lok"]}, "names 'lok', which is no tool of the agent"),
        ({"trusted_tools": "a"}, "trusted_tools is 'a'. Fix: pass a list of names"),
        ({"trusted_tools": iter(["a"])}, "Fix: pass a list of names of tools"),
        ({"hooks": Hook()}, "The option hooks is <.*>. Fix: pass a list of hooks"),
        ({"hooks": iter([Hook()])}, "Fix: pass a list of hooks"),
        ({"prompts": "Be kind."}, "prompts is 'Be kind.'. Fix: pass a dictionary"),
        ({"decoding": "seed"}, "decoding is 'seed'. Fix: pass a dictionary"),
        ({"reply_tokens": 0}, "reply_tokens is 0. Fix: pass a whole number from 1 up"),
        ({"decoding": {"temprature": 0}}, "decoding has no option 'temprature'"),
        ({"limits": {"string_length": 9}}, "limits is {'string_length': 9}. Fix: pass a"),
        ({"limits": None}, "limits is None. Fix: pass a"),
    ],
)
def test_an_unknown_option_or_value_is_an_error_in_every_pattern(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(name, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("react", {"max_calls": 0}), ("react", {"window_tokens": 0}), ("rewoo", {"max_steps": 0}),
        ("rewoo", {"max_replans": -1}), ("plan", {"max_calls": True}), ("plan", {"max_steps": "3"}),
        ("reflect", {"revisions": -1}), ("consistency", {"samples": 0}), ("tree", {"width": 0}),
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_an_error(name: str, options: dict[str, Any]) -> None:
    (option,) = options
    with pytest.raises(ConfigError, match=f"The option {option} is "):
        made(name, **options)


def test_a_misspelled_permission_does_not_switch_protection_off() -> None:
    tool = RecordingTool(name="save")
    tool.permission = cast("Any", "Write")
    with pytest.raises(InputError, match="permission of the tool 'save' is 'Write'"):
        react(ScriptedLLM([]), [tool])


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("react", "finish"), ("rewoo", "evidence"), ("plan", "finish"), ("plan", "replan"),
     ("plan", "conclude")],
)  # fmt: skip
def test_a_tool_with_the_name_of_an_agents_own_call_is_refused(pattern: str, name: str) -> None:
    with pytest.raises(InputError, match=f"The tool '{name}' has the name of one of the agent's"):
        made(pattern, tools=[RecordingTool(name=name)])


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan"])
def test_one_tool_in_place_of_a_list_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match=r"The tools are RecordingTool.*Fix: pass a list of tools"):
        made(pattern, tools=RecordingTool(name="a"))


def test_a_team_without_members_is_refused() -> None:
    with pytest.raises(InputError, match="at least one member"):
        team(ScriptedLLM([]), {})


@pytest.mark.parametrize("name", PATTERNS)
def test_a_cost_limit_needs_a_price(name: str) -> None:
    with pytest.raises(ConfigError, match=r"limits the cost to 2.0, but the agent has no price"):
        made(name, budget=Budget(cost=2.0))


@pytest.mark.parametrize("name", ["team", "reflect"])
def test_a_cost_limit_needs_a_price_of_every_agent_below_it(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no price. Fix: pass price=... to it too"):
        made(name, budget=Budget(cost=2.0), price=lambda usage: 1.0)  # pyright: ignore[reportUnknownLambdaType]


async def test_a_thread_without_a_checkpointer_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match=r"no checkpointer to keep the thread 't'. Fix: pass"):
        await run(looking("ok"), "Q", thread="t")


async def test_an_approval_without_a_checkpointer_is_refused_and_said() -> None:
    llm = ScriptedLLM([says_action("", ("send", {"text": "x"})), says_finish("Could not.")])
    send = RecordingTool(name="send", permission="approve")
    agent: Any = react(llm, [send])
    output = await agent.ainvoke({"question": "Q"}, {"configurable": {"thread_id": "t"}})
    assert output["answer"] == "Could not."
    assert "nobody can be asked" in llm.calls[1].prompt


async def test_reflection_without_any_limit_ends() -> None:
    inner = react(ScriptedLLM([says_finish("ok")]), [])
    verdict = '{"criteria":[{"reason":"r","met":true}],"advice":""}'
    budget = Budget(steps=None, tokens=None, seconds=None)
    agent = reflect(inner, "Good.", llm=ScriptedLLM([verdict]), budget=budget)
    assert (await run(agent, "Q")).answer == "ok"
