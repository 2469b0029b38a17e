import json

from ragkit.agents import Pending, react, run
from ragkit.agents.result import Step, result_of
from ragkit.core.types import Usage
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM


async def test_the_trace_reads_as_a_tree_and_as_json() -> None:
    llm = ScriptedLLM([says_action("Look.", ("a", {"text": "x"})), says_finish("ok")])
    result = await run(react(llm, [RecordingTool(name="a")]), "Q")
    lines = result.tree().splitlines()
    assert lines[0].startswith("1 react ")
    assert lines[1].startswith("  1.1 a ")
    assert '{"text": "x"} -> a:x' in lines[1]
    assert lines[-1].startswith("finished: ")
    kept = json.loads(result.to_json())
    assert kept["answer"] == "ok"
    assert kept["steps"][0]["prompt"][0]["role"] == "system"


def test_the_result_of_no_values_is_empty_and_waiting_is_said() -> None:
    empty = result_of({})
    assert (empty.answer, empty.steps, empty.usage, empty.stopped_by) == (
        "",
        (),
        Usage(),
        "finished",
    )
    pending = Pending(id="i", step="1.1", tool="t", arguments={}, reason="r")
    assert result_of({}, thread="x", pending=[pending]).stopped_by == "approval"


def test_a_long_step_is_one_short_line() -> None:
    step = Step(id="1.2/1", kind="note", name="memory", result="word\n" * 100)
    assert step.depth == 2
    assert len(step.line) == 160
    assert step.line.endswith("...")
    assert "(late)" in Step(id="1", kind="model", name="m", reply="x", error="late").line
