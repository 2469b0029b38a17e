"""Texts that Streamlit reads as Markdown, in every module of the application."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ragkit.ui
from ragkit.ui.wording import plain

MODULES = sorted(Path(ragkit.ui.__file__).parent.rglob("*.py"))
READS_MARKDOWN = {
    *("error", "warning", "info", "success", "caption", "markdown", "write", "toast", "status"),
    *("button", "download_button", "link_button", "popover", "expander", "tabs", "badge"),
    *("metric", "progress", "toggle", "checkbox", "radio", "slider", "selectbox", "multiselect"),
    *("text_input", "text_area", "number_input", "file_uploader", "title", "header", "subheader"),
}
TEXTS = {"metric": (0, 2), "progress": (1, 2)}
"""Which positions hold Markdown, where it is not the first alone."""
NO_PAGE = {"_log", "file"}
"""Names of objects that have such a method and draw nothing."""
NUMERIC_FORMATS = ("d", "f", "g", "%", ",")
SAFE_CALLS = {
    *("plain", "counted", "len"),
    *("milliseconds", "duration_text"),  # numbers with their units
    *("why_absent", "progress_text", "advice"),  # sentences, with `plain` for what others wrote
    *("_steps_text", "_progress"),  # names of this package
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_text_of_a_document_a_model_or_a_person_is_read_as_markdown(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unsafe = [
        f"line {text.lineno}: {ast.unparse(text)}"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for text in shown(function)
        if not safe(text, function)
    ]
    assert unsafe == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("st.error('constant')", True),
        ("st.error(plain(text))", True),
        ("st.error(f'{plain(text)}, {number:,}, {len(text)}')", True),
        ("label = plain(text)\n st.button(label)", True),
        ("st.error(text)", False),
        ("st.error(str(error))", False),
        ("st.caption(f'`{text}`, {number:,}')", False),
        ("st.metric('Location', text)", False),
        ("st.button('constant', help=text)", False),
        ("label = text.strip()\n row.button(label)", False),
    ],
)
def test_the_search_tells_escaped_text_from_other_text(body: str, *, expected: bool) -> None:
    function = ast.parse(f"def draw(st, row, text, number, error):\n {body}").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert all(safe(text, function) for text in shown(function)) == expected


def shown(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Every expression of a function that Streamlit reads as Markdown."""
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr not in READS_MARKDOWN or ast.unparse(call.func.value) in NO_PAGE:
            continue
        yield from call.args[slice(*TEXTS.get(call.func.attr, (0, 1)))]
        yield from (one.value for one in call.keywords if one.arg in {"help", "text", "label"})


def safe(text: ast.expr, function: ast.FunctionDef) -> bool:
    """True for constants, numbers, and what `plain` returned, however they are put together."""
    match text:
        case ast.Constant():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SAFE_CALLS
        case ast.FormattedValue(format_spec=ast.JoinedStr(values=[ast.Constant(value=str(form))])):
            return form.endswith(NUMERIC_FORMATS)
        case ast.Name(id=name) if name.isupper():
            return True
        case _:
            parts = [*assigned(text.id, function)] if isinstance(text, ast.Name) else parts_of(text)
            return bool(parts) and all(safe(part, function) for part in parts)


def parts_of(text: ast.expr) -> list[ast.expr]:
    """What an expression puts together; empty for one that does something else."""
    match text:
        case ast.JoinedStr(values=parts) | ast.List(elts=parts):
            return parts
        case (
            ast.FormattedValue(value=value) | ast.NamedExpr(value=value) | ast.Starred(value=value)
        ):
            return [value]
        case ast.BinOp(left=first, right=second) | ast.IfExp(body=first, orelse=second):
            return [first, second]
        case _:
            return []


def assigned(name: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Every value that a function assigns to a name."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                yield value
            case _:
                pass


def test_every_sign_of_markdown_is_escaped() -> None:
    assert plain("![x](http://a.b) `c` &lt; <b>") == r"\!\[x\]\(http\://a\.b\) \`c\` \&lt; \<b\>"
    assert plain("two\n lines") == "two lines"
