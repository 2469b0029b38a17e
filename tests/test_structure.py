"""The rules of the code's structure that no linter holds."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("ragkit", "agents", "ingest")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FINDER = re.compile(
    r"^\| (?P<behaviour>[^|]+?) \| `(?P<path>[^`|]+)` \| (?P<names>[^|]+) \|$", re.MULTILINE
)


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the product; links are not followed."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def test_a_class_name_stands_once() -> None:
    nodes = (node for _, tree in trees() for node in ast.walk(tree))
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_summary_line_does_not_begin_with_a_question_word() -> None:
    found = [
        f"{path}: {text.splitlines()[0]}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, DOCUMENTED)
        and (text := ast.get_docstring(node))
        and re.match(r"(What|How|Whose|Where|Whether)\b", text)
    ]
    assert found == []


def test_no_module_has_over_500_lines_and_no_body_of_a_function_over_60() -> None:
    found = [
        f"{path}: {len(text)} lines"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if len(text := path.read_text(encoding="utf-8").splitlines()) > 500
    ]
    found += [
        f"{path}: {node.name} has {lines} lines"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.body[-1].end_lineno or 0) - node.body[0].lineno + 1) > 60
    ]
    assert found == []


def test_every_module_stands_in_the_contract_of_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    known = {name.strip() for row in layers for name in re.split("[|:]", row)}
    tops = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / "ragkit").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or path.suffix == ".py"
    }
    assert {f"ragkit.{name}" for name in tops - {"__init__"}} == known


def rows() -> list[tuple[str, str, list[str]]]:
    """The rows of docs/find.md: behaviour, path, names."""
    page = (ROOT / "docs" / "find.md").read_text(encoding="utf-8")
    return [
        (row["behaviour"], row["path"], re.findall(r"`([^`]+)`", row["names"]))
        for row in FINDER.finditer(page)
    ]


def test_the_finder_lists_many_behaviours() -> None:
    assert len(rows()) >= 40


@pytest.mark.parametrize(("behaviour", "path", "names"), rows())
def test_what_the_finder_names_is_there(behaviour: str, path: str, names: list[str]) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert names, behaviour
    tree = ast.parse(text)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, DOCUMENTED[1:])}
    assigned = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert set(names) <= defined | assigned


PROMISE = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<tests>`[^|]+`) \| (?P<figure>[^|]+) \|$")


def promises() -> list[tuple[str, str]]:
    """The promises of docs/promises.md, each with the id of one of its tests."""
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if re.match(r"\| (?!promise |---)", line)]
    read = [PROMISE.match(line) for line in table]
    assert all(read), [line for line, found in zip(table, read, strict=True) if not found]
    return [
        (row["promise"], test)
        for row in read
        if row is not None
        for test in re.findall(r"`([^`]+)`", row["tests"])
    ]


def test_the_page_of_promises_has_a_test_and_a_figure_for_each() -> None:
    assert len({promise for promise, _ in promises()}) >= 25


@pytest.mark.parametrize(("promise", "test"), promises())
def test_the_tests_of_a_promise_are_there(promise: str, test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}, promise
