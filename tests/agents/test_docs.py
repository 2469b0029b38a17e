import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragkit.core.types import Chunk, Hit
from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

PAGE = (Path(__file__).parents[2] / "docs/agents.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def reply(call: ScriptedCall) -> str:
    if len(call.messages) > 2:
        return says_action("", ("finish", {"answer": "Three."}))
    if "- order:" in call.prompt:
        return says_action("", ("order", {"item": "lamp", "pieces": 2}))
    return says_action("", ("stock", {"item": "lamp"}))


class Passages:
    async def search(self, query: str, *, k: int) -> list[Hit]:
        chunk = Chunk(id="1", uri="u", title="t", text=query, start=0, end=len(query))
        return [Hit(chunk=chunk, score=1.0, trace={}) for _ in range(k)]


def test_the_examples_of_the_page_run_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module of its own, since the types of tools are looked up where they are defined.
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    names: dict[str, Any] = module.__dict__
    names.update(llm=ScriptedLLM(reply), folder=tmp_path, rag=Passages())
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"example {number}", "exec"), names)  # noqa: S102  # our own page
    shown = capsys.readouterr().out
    assert len(EXAMPLES) == 9
    assert shown.startswith("Three. finished 0.0\n1 react ")
    assert "1.1 stock" in shown
    assert "order {'item': 'lamp', 'pieces': 2} order always needs approval." in shown
    assert (tmp_path / "runs.db").is_file()
