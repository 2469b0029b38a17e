import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/sdk.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PRINTED = (
    ["The longest river of Europe is the Volga."],
    ["rrf"],
    ["['danube']", "True"],
    ["The Volga is the longest river of Europe.", "['user', 'assistant']"],
    ["1 volga", "['The Volga is long.']", "1"],
)


@pytest.mark.parametrize(("example", "printed"), [*zip(EXAMPLES, PRINTED, strict=True)])
def test_the_examples_of_the_page_run(
    example: str, printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(example, "example", "exec"), {})  # noqa: S102  # our own page
    assert capsys.readouterr().out.splitlines() == printed
