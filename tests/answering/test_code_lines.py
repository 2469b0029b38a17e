import pytest

from ragkit.answering.code_lines import is_code


@pytest.mark.parametrize(
    "text",
    [
        "import httpx\nr = httpx.get(url)",
        "$ pip install x",
        ">>> f(1)\n2",
        "fn main() {\n    run();\n}",
        "def f(x):\n    # twice\n    return 2 * x",
        "cargo build --release",
        "#include <stdio.h>\nint main(void) {\n  return 0;\n}",
        "const a = require('a');\na.run((err) => {\n  if (err) throw err;\n});",
    ],
)
def test_code_is_recognised(text: str) -> None:
    assert is_code(text.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is the Volga.",
        "We import goods and use them\nfrom day to day; the rest\nis sold (at a loss).",
        "Run the command, then wait:",
        "cargo builds the project.",
        "Dear all,\n\nthis is a letter.",
    ],
)
def test_prose_is_not_code(text: str) -> None:
    assert not is_code(text.split("\n"))
