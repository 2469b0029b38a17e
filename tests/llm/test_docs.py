import re
import runpy
from pathlib import Path

import pytest

from ragkit.core.protocols import CallOptions
from ragkit.testing.vllm_server import VLLMServer

PAGE = (Path(__file__).parents[2] / "docs/llm.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_page_run(number: int, tmp_path: Path, vllm_server: VLLMServer) -> None:
    path = tmp_path / "example.py"
    path.write_text(EXAMPLES[number].replace("http://127.0.0.1:8000", vllm_server.url))
    runpy.run_path(str(path), run_name="__main__")


def test_the_page_names_every_option() -> None:
    for option in CallOptions.__annotations__:
        assert f"`{option}`" in PAGE
