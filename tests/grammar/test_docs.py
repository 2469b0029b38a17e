import re
import runpy
from pathlib import Path

import pytest

from ragkit.grammar.schema.keywords import KEYWORDS

PAGE = (Path(__file__).parents[2] / "docs/grammar.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_page_run(number: int, tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(EXAMPLES[number])
    runpy.run_path(str(path))


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    for keyword, (treatment, reason) in KEYWORDS.items():
        assert treatment == "annotation" or f"| `{keyword}` | {treatment} | {reason} |" in PAGE
