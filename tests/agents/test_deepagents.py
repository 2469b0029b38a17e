"""Agents as members of deepagents' deep agent, which runs in the LangGraph server's environment."""

import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

from ragkit.testing.langgraph_server import LANGGRAPH, missing

pytestmark = pytest.mark.slow

SCENES = Path(__file__).parent / "deep_agent.py"
QUESTION, LAST = ["human", "Is there a lamp?"], ["ai", "It says 7."]


@pytest.fixture(scope="module")
def found() -> Any:
    """The results of all scenes, by name; `Any`: JSON."""
    if reason := missing():
        warnings.warn(f"NO TEST WITH DEEPAGENTS: {reason}", stacklevel=1)
        pytest.skip(reason)
    environment = {**os.environ, "LANGSMITH_TRACING": "false"}
    command = [str(LANGGRAPH.with_name("python")), str(SCENES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scene", ["react", "rewoo", "plan", "synchronous"])
def test_a_deep_agent_reads_the_answer_of_its_member(found: Any, scene: str) -> None:
    assert found[scene] == [QUESTION, ["tool", "It is 7."], LAST]


def test_a_typed_result_is_what_a_deep_agent_reads(found: Any) -> None:
    assert found["typed"] == [QUESTION, ["tool", '{"number": 7}'], LAST]


def test_two_tasks_that_wait_for_a_person_keep_their_decisions(found: Any) -> None:
    scene = found["approved"]
    assert scene["asked"] == ["0", "1"]
    assert scene["made before"] == 0
    assert scene["sent"] == ["1"]
    answers = [["tool", "0 was not sent."], ["tool", "1 was sent."]]
    assert scene["said"] == [QUESTION, *answers, LAST]


def test_the_examples_of_the_page_run(found: Any) -> None:
    office, deep = found["page"]
    assert ["ai", "Three."] in office[:-1]
    assert office[-1] == ["ai", "Three."]
    assert deep == [["human", "Are there lamps?"], ["tool", "Three."], ["ai", "Three."]]
