"""The structure of the code in figures: sizes, private functions, names, and one ReAct turn.

python -m benchmarks.structure [--root CHECKOUT]

With `--root` the files of another checkout are read; the ReAct turn runs in this one.
"""

import argparse
import ast
import asyncio
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.report import Row, publish

ROOT = Path(__file__).parents[1]
_FOLDERS = ("ragkit", "agents", "ingest")
_OPENERS = ("What", "How", "Whose", "Where", "Whether")
_SHORT = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A parsed file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def modules(root: Path, folders: Sequence[str]) -> list[Module]:
    """The Python files below these folders of a checkout; links are not followed."""
    files = (path for folder in folders for path in sorted(Path(root, folder).rglob("*.py")))
    texts = ((path, path.read_text(encoding="utf-8")) for path in files)
    return [Module(path=path, text=text, tree=ast.parse(text)) for path, text in texts]


def used_once(code: Sequence[Module]) -> list[Function]:
    """Private functions and methods that their own module references once."""
    found: list[Function] = []
    for module in code:
        nodes = list(ast.walk(module.tree))
        names = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        names.update(node.attr for node in nodes if isinstance(node, ast.Attribute))
        found.extend(one for one in private([module]) if names[one.name] == 1)
    return found


def private(code: Sequence[Module]) -> list[Function]:
    """Private functions and methods."""
    found = (function for module in code for function in module.functions)
    return [one for one in found if re.match(r"_[^_]", one.name)]


def duplicated(code: Sequence[Module]) -> dict[str, int]:
    """Class names that stand more than once, with their number."""
    names = Counter(
        node.name for module in code for node in ast.walk(module.tree) if _is_class(node)
    )
    return {name: count for name, count in names.items() if count > 1}


def forwarding(code: Sequence[Module]) -> list[Function]:
    """Closures, not decorated, that do nothing but call a function with their own arguments."""
    return [
        inner
        for module in code
        for outer in module.functions
        for inner in ast.walk(outer)
        if inner is not outer and isinstance(inner, Function) and _forwards(inner)
    ]


def _is_class(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef)


def _forwards(function: Function) -> bool:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if function.decorator_list or len(body) != 1 or not isinstance(body[0], ast.Return | ast.Expr):
        return False
    value = body[0].value
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return False
    own = {argument.arg for argument in function.args.args}
    given = {argument.id for argument in value.args if isinstance(argument, ast.Name)}
    plain = all(isinstance(argument, ast.Name) for argument in value.args)
    return plain and bool(own) and own <= given


def lines_of(function: Function) -> int:
    """Lines of a function, its docstring counted."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def code_lines(code: Sequence[Module]) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for module in code for line in module.text.splitlines())


def openers(code: Sequence[Module]) -> int:
    """Docstrings whose summary begins with a question word."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documented = (
        ast.get_docstring(node) or ""
        for module in code
        for node in ast.walk(module.tree)
        if isinstance(node, kinds)
    )
    return sum(bool(text.split()) and text.split()[0] in _OPENERS for text in documented)


def one_turn() -> tuple[set[str], int]:
    """Files and number of functions of `agents/` in a ReAct turn.

    A turn lasts from one call of the model to the next: the reply is read, its call is made and
    observed, and the next prompt is written. Functions that were called before it, such as the run
    around the graph, are not counted.
    """
    from ragkit.agents import react, run
    from ragkit.agents.tools import calculator
    from ragkit.testing import ScriptedLLM, says_action

    replies = iter(
        [
            says_action("Add.", ("calculator", {"expression": "2+2"})),
            says_action("Done.", ("finish", {"answer": "4"})),
        ]
    )
    seen: set[tuple[str, str]] = set()
    earlier: set[FrameType] = set()
    asked = 0

    def reply(call: object) -> str:
        nonlocal asked
        asked += 1
        return next(replies)

    def profile(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        inside = re.search(r"/agents/(.*\.py)$", code.co_filename)
        if event != "call" or not inside or code.co_name.startswith("<"):
            return
        if asked == 0:
            earlier.add(frame)
        elif asked == 1 and frame not in earlier:
            seen.add((inside[1], code.co_qualname))

    agent = react(ScriptedLLM(reply), [calculator()])
    sys.setprofile(profile)
    try:
        asyncio.run(run(agent, "2 + 2?"))
    finally:
        sys.setprofile(None)
    return {file for file, _ in seen}, len(seen)


def main() -> None:
    """Count and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    root = parser.parse_args().root
    code, tests = modules(root, _FOLDERS), modules(root, ("tests",))
    sizes = sorted(lines_of(function) for module in code for function in module.functions)
    once = used_once(code)
    text = "\n".join(module.text for module in code)
    rows: list[Row] = [
        {"what": "modules", "count": len(code)},
        {"what": "functions", "count": len(sizes)},
        {"what": "lines of a function, median", "count": statistics.median(sizes)},
        {"what": "lines of a function, nine of ten", "count": sizes[len(sizes) * 9 // 10]},
        {"what": "lines of a function, longest", "count": sizes[-1]},
        {"what": "private functions", "count": len(private(code))},
        {"what": "private functions referenced once", "count": len(once)},
        {
            "what": "of these in six lines or less",
            "count": sum(lines_of(f) <= _SHORT for f in once),
        },
        {"what": "class names that stand twice or more", "count": len(duplicated(code))},
        {"what": "closures that only forward", "count": len(forwarding(code))},
        {"what": "docstrings that open with a question word", "count": openers(code)},
        {"what": "lines of tests to a line of code", "count": code_lines(tests) / code_lines(code)},
        {"what": "Any", "count": len(re.findall(r"\bAny\b", text))},
        {"what": "cast(", "count": len(re.findall(r"\bcast\(", text))},
    ]
    files: set[str] = set()
    if root == ROOT:
        files, functions = one_turn()
        rows.append({"what": "files of agents/ in a ReAct turn", "count": len(files)})
        rows.append({"what": "functions of agents/ in a ReAct turn", "count": functions})
    publish(
        "structure",
        rows,
        note=f"files of a ReAct turn: {', '.join(sorted(files))}" if files else "",
    )


if __name__ == "__main__":
    main()
