import asyncio
from collections.abc import Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from ragkit.agents.tools.python_interpreter import python
from ragkit.core.errors import MissingExtraError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult
from ragkit.testing.tool_contract import ToolContract


class TestPython(ToolContract):
    def make_tool(self) -> Tool:
        return python(timeout_s=60)

    def arguments(self) -> Mapping[str, Json]:
        return {"code": "sum(range(10))"}


async def run(code: str, *, timeout_s: float = 60) -> ToolResult:
    return await python(timeout_s=timeout_s, max_memory_mb=32).call({"code": code}, key="k")


async def test_what_is_printed_and_the_last_value_are_the_result() -> None:
    result = await run("import json, math\nprint('half')\n[math.floor(2.5), json.loads('[1]')]")
    assert result.text == "half\n[2,[1]]"
    assert result.value == {"output": "half\n", "result": [2, [1]]}
    assert (await run("x = 1")).text == "(done, nothing printed)"


async def test_calls_share_nothing() -> None:
    made = python()
    await made.call({"code": "x = 1"}, key="1")
    with pytest.raises(ToolError, match="NameError"):
        await made.call({"code": "x"}, key="2")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero, line 1"),
        ("print('before')\nraise ValueError('no')", "ValueError: no, line 2\nPrinted before: bef"),
        ("x =", "The code has a syntax error: Expected an expression"),
        ("10 ** 5000", "has no form in JSON"),
    ],
)
async def test_errors_are_reported_with_their_line(code: str, message: str) -> None:
    with pytest.raises(ToolError) as caught:
        await run(code)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "open('{file}').read()",
        "open('{file}', 'w').write('changed')",
        "from pathlib import Path\nPath('{file}').read_text()",
        "from pathlib import Path\nPath('{file}').unlink()",
        "import os\nos.listdir('/')",
        "import os\nos.system('touch {file}.new')",
        "import os\nos.environ['PATH']",
        "import os\nos.getenv('PATH') or 1 / 0",
        "import subprocess",
        "import socket",
        "import urllib.request",
        "import ctypes",
        "import importlib",
        "import pickle",
        "import ragkit",
        "__import__('os').system('true')",
        "exec('import subprocess')",
        "eval('__import__')('os')",
        "().__class__.__bases__[0].__subclasses__()",
        "(lambda: 0).__globals__",
        "(lambda: 0).__code__",
        "getattr(print, '__self__')",
        "print.__self__.__import__('os')",
        "[].append.__self__.__class__.__mro__",
        "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_builtins",
        "'{{0.__class__}}'.format(1)",
        "def g():\n    yield 1\ng().gi_frame.f_back",
        "globals()['__builtins__']",
        "breakpoint()",
        "input()",
        "import sys\nsys.modules['os']",
        "import sys\nsys._getframe()",
    ],
)
async def test_there_is_no_way_out(code: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("secret")
    with pytest.raises(ToolError) as caught:
        await run(code.format(file=file))
    assert "secret" not in str(caught.value)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "import asyncio\nawait asyncio.sleep(60)",
        "def f(n):\n    return f(n - 1) + f(n - 1) if n else 1\nf(60)",
        "sorted(range(10**7), key=lambda n: -n)",
        "import re\nre.match('(a|a)*b', 'a' * 10000 + 'c')\nwhile True: pass",
    ],
)
async def test_time_is_limited(code: str) -> None:
    with pytest.raises(ToolError, match=r"TimeoutError|MemoryError"):
        await run(code, timeout_s=0.3)


@pytest.mark.parametrize(
    "code",
    [
        "'a' * 10**9",
        "[0] * 10**9",
        "9 ** 9 ** 9",
        "x = []\nwhile True: x.append('a' * 1000)",
        "x = 'a'\nwhile True: x += x",
        "f'{1:>1000000000}'",
        "def f():\n    return f()\nf()",
        "while True: print('a' * 1000)",
    ],
)
async def test_memory_output_and_recursion_are_limited(code: str) -> None:
    with pytest.raises(ToolError):
        await run(code, timeout_s=2)


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; one that was cancelled early is reaped with the next call."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def running_children() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if runs(child)}


async def test_a_cancelled_call_leaves_no_process_running() -> None:
    before = running_children()
    call = asyncio.ensure_future(run("while True: pass", timeout_s=60))
    async with asyncio.timeout(40):
        while not running_children() - before:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait({call})
        while running_children() - before:
            await asyncio.sleep(0.01)


def test_a_missing_sandbox_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> None:
        assert name == "pydantic_monty"

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)
    with pytest.raises(MissingExtraError, match=r'pip install "ragkit\[agents\]"'):
        python()
