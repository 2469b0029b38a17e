import re
from pathlib import Path

import pytest

from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

PAGE = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _reply(call: ScriptedCall) -> str:
    return says_action("", ("finish", {"answer": "It is 42."}))


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = EXAMPLES
    exec(compile(example, "example", "exec"), {"llm": ScriptedLLM(_reply)})  # noqa: S102  # our own page
    measured, verdict = capsys.readouterr().out.splitlines()
    assert measured.startswith("Estimate(value=1.0, low=1.0, high=1.0) Estimate(value=")
    assert verdict == (
        "no difference can be seen in these 2 queries: +0.000 (0.000 to 0.000), p = 1"
    )
