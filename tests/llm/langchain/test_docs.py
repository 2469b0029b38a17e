import re
from pathlib import Path

import pytest

from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedLLM

PAGE = (Path(__file__).parents[3] / "docs/langchain.md").read_text()
CHAT, TOOLS, RETRIEVER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CALL = says_action("", ("capital", {"country": "Norway"}))


@pytest.mark.parametrize(
    ("example", "replies", "printed"),
    [
        (CHAT, [CALL, says_action("", ("final_answer", {"name": "Oslo"}))], "name='Oslo'"),
        (TOOLS, [CALL, says_action("", ("finish", {"answer": "Oslo."}))], "Oslo."),
        (RETRIEVER, [], "rivers"),
    ],
    ids=["chat", "tools", "retriever"],
)
def test_the_examples_of_the_page_run(
    example: str, replies: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(example, "example", "exec"), {"llm": ScriptedLLM(replies)})  # noqa: S102  # our own page
    assert capsys.readouterr().out.strip() == printed
