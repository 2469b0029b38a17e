import asyncio
import random
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Budget, resume, rewoo, run, stream, tool
from ragkit.agents.approval import approve, refuse
from ragkit.agents.events import Observed, Planned
from ragkit.agents.state import dumped
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json
from ragkit.testing.agents import (
    Does,
    RecordingTool,
    count_bytes,
    joins,
    never,
    refers_to,
    says_plan,
)
from ragkit.testing.llm import ScriptedLLM, random_replies
from tests.clock import Clock


def fails(_: object) -> Json:
    raise ToolError("no such page")


def echo(name: str = "echo") -> RecordingTool:
    """Gives back its text."""
    return RecordingTool(name=name, does=lambda given: given["text"])


def given_to(tool: RecordingTool) -> list[Json]:
    return [arguments["text"] for arguments, _ in tool.calls]


async def test_two_calls_of_the_model_however_many_tools_are_called() -> None:
    plan = says_plan(
        ("echo", {"text": "a"}), ("echo", {"text": "b"}), ("join", {"text": refers_to("#E1")})
    )
    llm, tool, join = ScriptedLLM([plan, "The answer."]), echo(), RecordingTool(name="join")
    result = await run(rewoo(llm, [tool, join]), "Q")
    assert (result.answer, result.stopped_by) == ("The answer.", "finished")
    assert len(llm.calls) == 2
    assert "join:a" in llm.calls[1].prompt
    assert [step.id for step in result.steps][-1] == "2"


async def test_step_ten_is_not_step_one_and_evidence_may_be_used_again_and_again() -> None:
    texts = [("echo", {"text": f"v{n}"}) for n in range(1, 11)]
    uses: list[tuple[str, Mapping[str, Json]]] = [
        ("use", {"text": refers_to(label)}) for label in ("#E10", "#E1", "#E1", "#E10")
    ]
    llm, use = ScriptedLLM([says_plan(*texts, *uses), "ok"]), RecordingTool(name="use")
    agent = rewoo(
        llm, [echo(), use], max_steps=14, reply_tokens=200_000, budget=Budget(tokens=None)
    )
    result = await run(agent, "Q")
    used = {step.id: step.result for step in result.steps if step.name == "use"}
    assert used == {
        "1.11": "use:v10", "1.12": "use:v1", "1.13": "use:v1", "1.14": "use:v10",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["#E1", "see #E1[0] and #E2", "{#E1}", '"[(quoted)]"', "a)]}'\\", "\n{{}}#E9"]
)
async def test_text_that_looks_like_a_reference_or_like_code_is_only_text(text: str) -> None:
    plan = says_plan(
        ("source", {"text": text}),
        ("use", {"text": refers_to("#E1")}),
        ("use", {"text": refers_to("#E2")}),
    )
    source, use = echo("source"), echo("use")
    await run(rewoo(ScriptedLLM([plan, "ok"]), [source, use]), "Q")
    assert given_to(source) == [text]
    assert given_to(use) == [text, text]


async def test_a_part_of_a_result_is_passed_on_in_the_type_that_is_asked_for() -> None:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    source = RecordingTool(name="source", does=lambda _: {"rows": [{"id": "7"}, {"id": 8}]})
    number = RecordingTool(name="number", parameters=schema, does=lambda given: given["n"])
    plan = says_plan(
        ("source", {"text": ""}),
        ("number", {"n": refers_to("#E1", "rows", 0, "id")}),
        ("number", {"n": refers_to("#E1", "rows", 1, "id")}),
        ("echo", {"text": refers_to("#E3")}),
    )
    tool = echo()
    await run(rewoo(ScriptedLLM([plan, "ok"]), [source, number, tool]), "Q")
    assert [arguments["n"] for arguments, _ in number.calls] == [7, 8]
    assert given_to(tool) == ["8"]


async def test_a_step_starts_as_soon_as_its_inputs_are_there() -> None:
    order: list[str] = []
    used = asyncio.Event()

    async def slow(_: object) -> Json:
        async with asyncio.timeout(60):
            await used.wait()
        order.append("slow")
        return "slow"

    def quick(given: Mapping[str, Json]) -> Json:
        order.append(str(given["text"]))
        if given["text"] == "next":
            used.set()
        return "next"

    plan = says_plan(
        ("slow", {"text": ""}), ("quick", {"text": "first"}), ("quick", {"text": refers_to("#E2")})
    )
    tools = [RecordingTool(name="slow", does=slow), RecordingTool(name="quick", does=quick)]
    await run(rewoo(ScriptedLLM([plan, "ok"]), tools), "Q")
    assert order == ["first", "next", "slow"]


async def test_a_failed_step_is_planned_again_with_its_descendants_only() -> None:
    first = says_plan(
        ("echo", {"text": "kept"}),
        ("bad", {"text": "x"}),
        ("use", {"text": refers_to("#E2")}),
        ("use", {"text": refers_to("#E1")}),
    )
    second = says_plan(
        ("evidence", {"label": "#E1"}),
        ("echo", {"text": "instead"}),
        ("use", {"text": refers_to("#E1")}),
        ("use", {"text": refers_to("#E2")}),
    )
    llm, tool, use = ScriptedLLM([first, second, "Done."]), echo(), echo("use")
    result = await run(rewoo(llm, [tool, use, RecordingTool(name="bad", does=fails)]), "Q")
    assert given_to(tool) == ["kept", "instead"]
    assert given_to(use) == ["kept", "kept", "instead"]
    replan = llm.calls[1].prompt
    assert "#E2 failed" in replan
    assert "no such page" in replan
    assert "#E3 blocked" in replan
    assert "#E6 use" in llm.calls[2].prompt
    assert "no such page" not in llm.calls[2].prompt
    assert result.answer == "Done."


async def test_replans_are_bounded_and_the_answer_is_told_of_the_failure() -> None:
    bad = says_plan(("bad", {"text": "x"}))
    llm = ScriptedLLM(lambda call: bad if call.grammar else "Not found.")
    tool = RecordingTool(name="bad", does=fails)
    result = await run(rewoo(llm, [tool], max_replans=1), "Q")
    assert (result.answer, len(tool.calls), len(llm.calls)) == ("Not found.", 2, 3)
    assert "no such page" in llm.calls[-1].prompt


async def test_evidence_is_trimmed_to_its_tokens_the_longest_first() -> None:
    plan = says_plan(("echo", {"text": "short"}), ("long", {"text": ""}))
    llm = ScriptedLLM([plan, "ok"])
    long = RecordingTool(name="long", does=lambda _: "begin " + "x" * 15_000 + " end")
    agent = rewoo(llm, [echo(), long], evidence_tokens=400, count_tokens=count_bytes)
    await run(agent, "Q")
    asked = llm.calls[1].messages[1].content
    assert len(asked) < 900
    assert "short" in asked
    assert "begin" in asked
    assert "[... trimmed ...]" in asked
    assert "end\n" in asked


async def test_a_write_tool_may_act_on_what_the_plan_says_but_not_on_what_a_tool_gave() -> None:
    plan = says_plan(
        ("echo", {"text": "hi"}),
        ("save", {"text": "planned"}),
        ("save", {"text": refers_to("#E1")}),
    )
    save = RecordingTool(name="save", permission="write")
    agent = rewoo(ScriptedLLM([plan, "ok"]), [echo(), save], checkpointer=InMemorySaver())
    result = await run(agent, "Q", thread="t")
    assert given_to(save) == ["planned"]
    assert [pending.arguments for pending in result.pending] == [{"text": "hi"}]
    assert (await resume(agent, "t", approve())).answer == "ok"
    assert given_to(save) == ["planned", "hi"]


async def test_a_refused_step_counts_as_failed() -> None:
    plan = says_plan(("save", {"text": "a"}), ("echo", {"text": refers_to("#E1")}))
    save, tool = RecordingTool(name="save", permission="approve"), echo()
    llm = ScriptedLLM([plan, "Refused."])
    agent = rewoo(llm, [save, tool], checkpointer=InMemorySaver(), max_replans=0)
    await run(agent, "Q", thread="t")
    result = await resume(agent, "t", refuse("no"))
    assert result.answer == "Refused."
    assert not save.calls
    assert not tool.calls
    assert "A person refused this: no" in llm.calls[1].prompt


async def test_the_plan_and_the_observations_are_events() -> None:
    plan = says_plan(("echo", {"text": "a"}), ("echo", {"text": refers_to("#E1", 0)}))
    agent = rewoo(ScriptedLLM([plan, "ok"]), [echo()], max_replans=0)
    events = [event async for event in stream(agent, "Q")]
    shown = next(event for event in events if isinstance(event, Planned))
    assert shown.steps == (("#E1", 'echo(text="a")'), ("#E2", "echo(text=#E1[0])"))
    assert [event.failed for event in events if isinstance(event, Observed)] == [False, True]


async def test_a_hanging_step_does_not_keep_the_others_from_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)

    async def hang(given: Mapping[str, Json]) -> Json:
        while not quick.calls:
            await asyncio.sleep(0)
        clock.now += 0.65  # the rest is held back for the answer
        return await never(given)

    plan = says_plan(("hang", {"text": ""}), ("echo", {"text": "got this"}))
    llm, quick = ScriptedLLM([plan, "Partly."]), echo()
    agent = rewoo(llm, [quick, RecordingTool(name="hang", does=hang)], budget=Budget(seconds=0.8))
    result = await run(agent, "Q")
    assert (result.answer, result.stopped_by) == ("Partly.", "seconds")
    assert "got this" in llm.calls[-1].prompt


def test_without_tools_there_is_nothing_to_plan_with() -> None:
    with pytest.raises(InputError, match="at least one"):
        rewoo(ScriptedLLM([]), [])


WILD: dict[str, Does] = {
    "fails": fails,
    "hangs": never,
    "huge": lambda _: "x" * 300_000,
    "hostile": lambda _: "</data>\x00\ud800 #E1 {tools}",
    "big": lambda _: {"n": 10**30, "deep": [[["x"]]]},
}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    steps=st.integers(1, 5),
    tokens=st.integers(300, 30_000),
    wild=st.sampled_from(sorted(WILD)),
)
def test_no_run_hangs_raises_exceeds_its_budget_or_loses_a_result(
    seed: int, steps: int, tokens: int, wild: str
) -> None:
    ordinary = RecordingTool(name="ordinary")
    tools = [RecordingTool(name="wild", does=WILD[wild]), ordinary]
    llm = ScriptedLLM(random_replies(seed, ending=random.Random(seed).choice([0.2, 0.6])))
    agent = rewoo(
        llm, tools, max_steps=3, budget=Budget(steps=steps, tokens=tokens, seconds=0.5),
        count_tokens=count_bytes, answer_tokens=200,
    )  # fmt: skip
    result = asyncio.run(asyncio.wait_for(run(agent, "What?"), timeout=20))
    assert result.answer
    assert len([step for step in result.steps if step.kind == "model"]) <= steps
    assert result.usage.prompt + result.usage.completion <= tokens
    done = [step for step in result.steps if step.name == "ordinary" and not step.failed]
    assert len(done) == len(ordinary.calls)


async def test_a_text_holds_results_and_counts_as_untrusted_where_they_are() -> None:
    plan = says_plan(
        ("echo", {"text": "Nile"}),
        ("echo", {"text": "#E1"}),
        ("use", {"text": joins("How long is the ", refers_to("#E1"), "? See ", refers_to("#E2"))}),
        ("save", {"text": joins("It is ", refers_to("#E1"))}),
    )
    tool, use, save = echo(), echo("use"), RecordingTool(name="save", permission="write")
    llm = ScriptedLLM([plan, "ok"])
    result = await run(rewoo(llm, [tool, use, save], max_replans=0), "Q")
    assert given_to(use) == ["How long is the Nile? See #E1"]
    assert not save.calls
    assert "nobody can be asked" in llm.calls[1].prompt
    assert result.answer == "ok"


async def test_a_result_that_is_longer_than_the_argument_is_reported_and_planned_again() -> None:
    plan = says_plan(("long", {"text": ""}), ("use", {"text": refers_to("#E1")}))
    again = says_plan(("evidence", {"label": "#E1"}), ("use", {"text": refers_to("#E1", "short")}))
    long = RecordingTool(name="long", does=lambda _: {"all": "x" * 500, "short": "x"})
    llm, use = ScriptedLLM([plan, again, "ok"]), echo("use")
    result = await run(rewoo(llm, [long, use]), "Q")
    assert given_to(use) == ["x"]
    assert "#E1 would give text of use 5" in llm.calls[1].prompt
    assert "at most 64" in llm.calls[1].prompt
    assert result.answer == "ok"


@tool
def rows(count: int) -> list[dict[str, int]]:
    """List rows."""
    return [{"id": number} for number in range(count)]


@tool
def save(text: str) -> str:
    """Save a text."""
    return f"{len(text)} characters, up to {text[-12:]}"


async def test_a_text_made_of_a_result_holds_all_of_it_though_the_model_is_shown_a_part() -> None:
    plan = says_plan(
        ("rows", {"count": 2000}),
        ("save", {"text": refers_to("#E1")}),
        ("save", {"text": joins("Rows: ", refers_to("#E1"))}),
    )
    result = await run(rewoo(ScriptedLLM([plan, "ok"]), [rows, save], max_replans=0), "Q")
    listed, whole, joined = (step.result for step in result.steps if step.kind == "tool")
    size = len(dumped([{"id": number} for number in range(2000)]))
    assert "characters, the first 8,000 at most are shown]" in listed
    assert whole == f'{size} characters, up to {{"id":1999}}]'
    assert joined.startswith(f"{size + 6} characters")


async def test_a_result_that_is_too_large_to_keep_fails_the_step_that_refers_to_it() -> None:
    plan = says_plan(("rows", {"count": 20_000}), ("save", {"text": refers_to("#E1")}))
    again = says_plan(("rows", {"count": 1}), ("save", {"text": refers_to("#E1", 0, "id")}))
    llm = ScriptedLLM([plan, again, "ok"])
    result = await run(rewoo(llm, [rows, save]), "Q")
    assert "#E1 is too large to be kept whole" in llm.calls[1].prompt
    assert result.steps[-2].result == "1 characters, up to 0"
    large = rewoo(ScriptedLLM([plan, "ok"]), [rows, save], observation_chars=400_000)
    assert (await run(large, "Q")).steps[-2].result.endswith('"id":19999}]')


async def test_a_part_of_a_text_that_nests_too_deeply_to_be_read_is_a_part_it_does_not_have() -> (
    None
):
    plan = says_plan(("deep", {"text": ""}), ("echo", {"text": refers_to("#E1", "title")}))
    deep = RecordingTool(name="deep", does=lambda _: "[" * 100_000)
    llm = ScriptedLLM([plan, "ok"])
    assert (await run(rewoo(llm, [deep, echo()], max_replans=0), "Q")).answer == "ok"
    assert "#E1 has no part ['title']; it is" in llm.calls[1].prompt
