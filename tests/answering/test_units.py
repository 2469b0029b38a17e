from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.units import Unit, units_of
from ragkit.core.types import Chunk

_LINES = st.sampled_from(
    [
        "", "# Heading", "Setext\n------", "A sentence. Another one.", "- an item",
        "* **bold** item",
        "1. first", "  continued", "```python", "```", "x = f(y)", "    indented", "| a | b |",
        "| --- | --- |", "> quoted", "<!-- note -->", ".. note::", "!!! tip", "[a]: https://e.org",
        "It reads [a link](https://e.org/x) and `code. Here`.",
        "é and 日本語。", "---", "==== ====",
        "Is it? No.", "**Is it?** Yes.", "Q: Is it?", "A: No.", "- Is it?",
    ]
)  # fmt: skip


def _chunk(text: str, *, uri: str = "doc.md", path: tuple[str, ...] = ()) -> Chunk:
    return Chunk(id="c", uri=uri, title="Doc", text=text, start=0, end=len(text), heading_path=path)


def _units(text: str, *, uri: str = "doc.md", path: tuple[str, ...] = ()) -> list[Unit]:
    return units_of(_chunk(text, uri=uri, path=path))


def _shown(text: str, *, uri: str = "doc.md", path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(unit.kind, unit.text) for unit in _units(text, uri=uri, path=path)]


def test_sentences_know_their_heading_and_their_place() -> None:
    text = "# Refunds\nRefunds are **paid** within 5 days. Ask [us](x).\n\n## Other\n\nNothing."
    units = _units(text)
    assert [unit.text for unit in units] == [
        "Refunds are paid within 5 days.",
        "Ask us.",
        "Nothing.",
    ]
    assert [unit.heading for unit in units] == ["Refunds", "Refunds", "Other"]
    assert text[units[0].start : units[0].end] == "Refunds are **paid** within 5 days."
    assert units[0].block == units[1].block != units[2].block


@pytest.mark.parametrize(
    "heading", ["## Lengths { #lengths }", "Lengths\n-------", "=======\nLengths\n======="]
)
def test_headings_are_no_units(heading: str) -> None:
    units = _units(f"It is long.\n\n{heading}\n\nIt is the Volga, by far.", uri="doc.rst")
    assert [(unit.heading, unit.text) for unit in units] == [
        ("Doc", "It is long."),
        ("Lengths", "It is the Volga, by far."),
    ]


def test_a_short_line_alone_is_a_heading_where_headings_have_no_mark() -> None:
    text = "Lengths\n\nIt is the Volga."
    assert _shown(text, uri="doc.html") == [("sentence", "It is the Volga.")]
    assert _shown(text, uri="doc.md")[0] == ("sentence", "Lengths")


def test_items_of_a_list_share_a_block_and_keep_their_numbers() -> None:
    units = _units("Do this:\n\n1. Open *it*,\n   slowly.\n2. Close it.\n\nDone.")
    assert [(unit.kind, unit.marker, unit.text) for unit in units] == [
        ("sentence", "", "Do this:"),
        ("item", "1.", "Open it, slowly."),
        ("item", "2.", "Close it."),
        ("sentence", "", "Done."),
    ]
    assert units[1].block == units[2].block


def test_rows_of_a_table_name_their_columns() -> None:
    table = "| River | Length |\n| --- | --- |\n| Volga | 3,531 km |\n| `Danube` | 2,850 km |"
    units = _units(table)
    assert [unit.text for unit in units] == [
        "River: Volga; Length: 3,531 km",
        "River: Danube; Length: 2,850 km",
    ]
    assert table[units[1].start : units[1].end] == "| `Danube` | 2,850 km |"
    assert _shown("River | Length\nVolga | 3,531 km", uri="doc.html")[0][1] == (
        "River: Volga; Length: 3,531 km"
    )


@pytest.mark.parametrize(
    ("uri", "text", "head"),
    [
        ("doc.md", "| b | 2 | x |\n| c | 3 | y |\n\nAn end.", "| Name | Size | In |"),
        ("doc.docx", "b | 2 | x\nc | 3 | y\n\nAn end.", "Name | Size | In"),
    ],
)
def test_rows_that_go_on_from_another_chunk_have_the_names_above_the_chunk(
    uri: str, text: str, head: str
) -> None:
    chunk = replace(_chunk(text, uri=uri), start=100, end=100 + len(text))
    context = f"Doc > Sizes\nColumns: {head}\nA line of a model."
    shown = [unit.text for unit in units_of(replace(chunk, context=context))]
    assert shown == ["Name: b; Size: 2; In: x", "Name: c; Size: 3; In: y", "An end."]
    one = replace(chunk, text=text.splitlines()[0], context=context)
    assert [unit.text for unit in units_of(one)] == ["Name: b; Size: 2; In: x"]
    bare = [unit.text for unit in units_of(replace(chunk, context=""))]
    assert bare == ["b; 2; x", "c; 3; y", "An end."]
    cut = replace(chunk, text=text.replace("b | ", "", 1), context=context)
    assert [unit.text for unit in units_of(cut)][:2] == ["2; x", "Name: c; Size: 3; In: y"]


@pytest.mark.parametrize("context", ["Lamps | Shop", "Doc\nIt lists a | b of lamps."])
def test_a_bar_above_a_chunk_is_no_head_of_a_table(context: str) -> None:
    text = "| b | 2 |\n| c | 3 |"
    chunk = replace(_chunk(text), start=100, end=100 + len(text), context=context)
    assert [unit.text for unit in units_of(chunk)] == ["b; 2", "c; 3"]
    headed = replace(chunk, uri="a.csv", text="Name | Size\nb | 2")
    assert [unit.text for unit in units_of(headed)] == ["Name: b; Size: 2"]


@pytest.mark.parametrize(("rule", "shown"), [("===", ["Name: b"]), ("---", ["Name", "b"])])
def test_a_grid_has_a_head_over_a_double_rule(rule: str, shown: list[str]) -> None:
    grid = f"+---+---+\n| Name | |\n+{rule}+{rule}+\n| b | |\n+---+---+"
    assert [unit.text for unit in _units(grid, uri="doc.rst")] == shown


def test_a_table_that_begins_with_a_chunk_has_its_own_head() -> None:
    text = "Name | Size\nb | 2"
    chunk = replace(_chunk(text, uri="doc.docx"), start=100, end=100 + len(text))
    assert [unit.text for unit in units_of(chunk)] == ["Name: b; Size: 2"]
    ruled = "| Name | Size |\n| - | - |\n| b | 2 |"
    assert _shown(ruled) == [("row", "Name: b; Size: 2")]


@pytest.mark.parametrize(
    "text",
    [
        "**Can it fly?**\nNo. Never.\n\n**Is it red?** Yes.",
        "**Can it fly?**\n\nNo. Never.\n\n**Is it red?**\n\nYes.",
        "Q: Can it fly?\nA: No. Never.\n\nQ: Is it red?\nA: Yes.",
        "Question 1: Can it fly?\n\nAnswer: No. Never.\n\nQuestion 2: Is it red?\n\nAnswer: Yes.",
        "- Can it fly?\n  - No. Never.\n- Is it red?\n\n  Yes.",
        "Can it fly? No. Never.\n\nIs it red? Yes.",
    ],
)
def test_a_question_is_the_heading_of_what_answers_it(text: str) -> None:
    units = _units(text)
    assert [(unit.heading, unit.text) for unit in units] in (
        [("Can it fly?", "No. Never."), ("Is it red?", "Yes.")],
        [("Can it fly?", "No."), ("Can it fly?", "Never."), ("Is it red?", "Yes.")],
    )
    assert units[0].asked_text.startswith("Can it fly? No.")
    assert all(not text[unit.start : unit.end].startswith("A") for unit in units)


def test_a_question_set_off_heads_the_next_block_and_no_more() -> None:
    for text in ("**Is it?** Yes.\n\nIt costs 5.", "**Is it?**\n\nYes.\n\nIt costs 5."):
        assert [(unit.question, unit.heading, unit.text) for unit in _units(text)] == [
            ("Is it?", "Is it?", "Yes."),
            ("", "Doc", "It costs 5."),
        ]
    section = "## Is it?\n\nIn a way.\n\nBut not quite."
    assert [unit.question for unit in _units(section)] == ["Is it?", "Is it?"]


def test_a_question_that_is_a_paragraph_is_answered_by_a_reply_only() -> None:
    letter = "Could you send it by Friday?\n\nThe room is 12."
    assert [(unit.question, unit.text) for unit in _units(letter)] == [
        ("", "Could you send it by Friday?"),
        ("", "The room is 12."),
    ]
    assert [(one.heading, one.question) for one in _units(letter, uri="a.txt")] == [
        ("Could you send it by Friday?", "")
    ]
    assert [(one.question, one.text) for one in _units("Is it?\n\nNot yet.\n\nSoon.")] == [
        ("Is it?", "Not yet."),
        ("", "Soon."),
    ]
    survey = "How old are you?\n\nDo you own a car?"
    assert [unit.text for unit in _units(survey)] == survey.split("\n\n")


def test_headings_hold_again_after_questions_within_each_other() -> None:
    items = "- Why?\n  - So.\n  - How?\n    - Thus.\n  - Then.\n- Plain.\n\nAn end."
    assert [(unit.heading, unit.text) for unit in _units(items)] == [
        ("Why?", "So."),
        ("How?", "Thus."),
        ("Why?", "Then."),
        ("Doc", "Plain."),
        ("Doc", "An end."),
    ]
    tab = '=== "Linux"\n\n    - Root?\n      - Yes.\n\n    Install.\n\nAn end.'
    assert [(unit.heading, unit.text) for unit in _units(tab)] == [
        ("Root?", "Yes."),
        ("Doc: Linux", "Install."),
        ("Doc", "An end."),
    ]


def test_a_question_in_a_text_is_the_heading_of_its_paragraph_only() -> None:
    text = "# Bees\n\nWhy do they dance? They show the way.\n\nThey sleep at night. Or do they?"
    assert [(unit.heading, unit.text) for unit in _units(text)] == [
        ("Why do they dance?", "They show the way."),
        ("Bees", "They sleep at night."),
        ("Bees", "Or do they?"),
    ]
    after_list = "# Bees\n\n- Do they dance?\n  - Yes.\n- They fly.\n\nThey sleep."
    assert [unit.heading for unit in _units(after_list)] == ["Do they dance?", "Bees", "Bees"]


def test_fenced_and_indented_code_is_verbatim() -> None:
    text = "Run:\n\n```shell\n$ pip install x  # *now*\n```\n\nOr:\n\n    make all\n"
    assert _shown(text) == [
        ("sentence", "Run:"),
        ("code", "$ pip install x  # *now*"),
        ("sentence", "Or:"),
        ("code", "make all"),
    ]


def test_a_chunk_that_starts_within_a_block_of_code_is_understood() -> None:
    assert _shown("x = f(1)\ny = g(x)\n```\n\nThat was all.") == [
        ("code", "x = f(1)\ny = g(x)"),
        ("sentence", "That was all."),
    ]


def test_code_without_marks_is_recognised_by_its_lines() -> None:
    assert _shown("Like this:\n\nimport x\nx.get()", uri="doc.html")[1] == (
        "code",
        "import x\nx.get()",
    )
    prose = "We import goods from abroad,\nuse them at home and return\nwhat is left (as agreed)."
    assert _shown(prose, uri="doc.html")[0][0] == "sentence"


@pytest.mark.parametrize(
    "noise",
    [
        "<!-- a\n\ncomment -->", "[timeouts]: advanced.md", "---", "::: pkg.module", "[TOC]",
        ".. _label:", "/// note", "{* ../code.py *}", ".. toctree::\n   :maxdepth: 2\n\n   api",
    ],
)  # fmt: skip
def test_lines_that_readers_do_not_see_are_left_out(noise: str) -> None:
    assert _shown(f"One.\n\n{noise}\n\nTwo.") == [("sentence", "One."), ("sentence", "Two.")]


def test_the_text_of_a_note_is_a_sentence() -> None:
    assert _shown("!!! warning\n\n    Never do this.\n\nAfter.") == [
        ("sentence", "Never do this."),
        ("sentence", "After."),
    ]


def test_a_sentence_does_not_end_inside_a_link_or_code() -> None:
    shown = _shown("Call `a. B` or [this. That](x) now. Then stop.")
    assert shown == [("sentence", "Call a. B or this. That now."), ("sentence", "Then stop.")]


@given(st.lists(_LINES, max_size=14), st.sampled_from(["a.md", "a.rst", "a.html", "a"]))
def test_units_are_ordered_apart_and_exact(lines: list[str], uri: str) -> None:
    text = "\n".join(lines)
    units = _units(text, uri=uri)
    assert all(one.end <= other.start for one, other in pairwise(units))
    for unit in units:
        assert unit.text.strip()
        assert 0 <= unit.start < unit.end <= len(text)
        assert len(unit.plain.offsets) == len(unit.text)
        assert all(unit.start <= at < unit.end for at in unit.plain.offsets)
        assert unit.kind == "code" or not text[unit.start].isspace()
        assert not text[unit.end - 1].isspace()


def test_a_single_line_with_a_bar_is_no_table_in_html() -> None:
    assert _shown("Install it:\n\ncurl https://e.org | sh", uri="doc.html")[1] == (
        "code",
        "curl https://e.org | sh",
    )


def test_a_directive_that_describes_something_is_a_heading() -> None:
    text = ".. py:data:: SECRET_KEY\n\n    Signs the session. Keep it.\n\n    Default: None"
    units = _units(text, uri="doc.rst")
    assert [unit.heading for unit in units] == ["SECRET_KEY"] * 3
    assert units[0].text == "Signs the session."


def test_directives_that_hold_no_text_are_left_out_with_their_options() -> None:
    text = "```{contents}\n---\ndepth: 2\n---\n```\n\n```{note}\nRead **this**.\n```\n\nAfter."
    assert _shown(text) == [("sentence", "Read this."), ("sentence", "After.")]


def test_prose_under_a_directive_is_not_code_although_code_follows_it() -> None:
    text = (
        ".. attribute:: modified\n\n    ``True`` if it was changed. Be advised that\n"
        "    it is not automatic. An example::\n\n        x = session[1]\n        x.save(1)\n"
    )
    assert _shown(text, uri="doc.rst") == [
        ("sentence", "True if it was changed."),
        ("sentence", "Be advised that it is not automatic."),
        ("sentence", "An example:"),
        ("code", "x = session[1]\nx.save(1)"),
    ]


def test_indented_text_at_the_start_of_a_chunk_is_not_code() -> None:
    assert _shown("    the value of `preview` has no effect.\n\nNext.") == [
        ("sentence", "the value of preview has no effect."),
        ("sentence", "Next."),
    ]


def test_fields_of_restructuredtext_are_items_and_options_of_directives_are_not() -> None:
    text = (
        ":Number of Instances: 569\n:Attribute Information:\n    - radius\n    - texture\n"
        ":Date: November, 1995\n\n.. figure:: a.png\n   :alt: none\n\nEnd.\n\n:width: 80%\n"
    )
    assert _shown(text, uri="doc.rst") == [
        ("item", "Number of Instances: 569"),
        ("sentence", "Attribute Information:"),
        ("item", "radius"),
        ("item", "texture"),
        ("item", "Date: November, 1995"),
        ("sentence", "End."),
    ]
    (first, *_) = _units(text, uri="doc.rst")
    assert text[first.start : first.end] == "Number of Instances: 569"


def test_tildes_underline_a_heading_in_restructuredtext() -> None:
    text = "Run it:\n\n.. code:: bash\n\n    $ make\n\nBlock it\n~~~~~~~~\n\nIt is off.\n"
    for uri in ("doc.rst", "doc.rest"):
        assert [(unit.kind, unit.heading, unit.text) for unit in _units(text, uri=uri)] == [
            ("sentence", "Doc", "Run it:"),
            ("code", "Doc", "$ make"),
            ("sentence", "Block it", "It is off."),
        ]
    assert _shown("Run it:\n\n~~~\n$ make\n~~~\n") == [("sentence", "Run it:"), ("code", "$ make")]


def test_a_line_with_a_value_is_no_heading() -> None:
    text = "os.cpus()\n\nAdded in: v0.3.3\n\nReturns the cores."
    units = _units(text, uri="doc.html", path=("os.cpus()",))
    assert [(unit.heading, unit.text) for unit in units] == [
        ("os.cpus()", "Added in: v0.3.3"),
        ("os.cpus()", "Returns the cores."),
    ]


def test_the_title_of_a_folded_part_is_a_heading() -> None:
    text = "<details>\n<summary>Markdown</summary>\n\nIt is rendered.\n\n</details>"
    assert [(unit.heading, unit.text) for unit in _units(text)] == [("Markdown", "It is rendered.")]


RST_TABS = """.. tabs::

    .. group-tab:: Bash

        Add this to ``~/.bashrc``:

        .. code-block:: bash

            eval "$(a)"

    .. group-tab:: Zsh

        Add this to ``~/.zshrc``:

        .. code-block:: zsh

            eval "$(b)"

Start a new shell.
"""
MKDOCS_TABS = """=== "Bash"

    Add this to `~/.bashrc`:

    ```bash
    eval "$(a)"
    ```

=== "Zsh"

    Add this to `~/.zshrc`:

    ```zsh
    eval "$(b)"
    ```

Start a new shell.
"""
MYST_TABS = """::::{tab-set}

:::{tab-item} Bash
Add this to `~/.bashrc`:

```bash
eval "$(a)"
```
:::

:::{tab-item} Zsh
Add this to `~/.zshrc`:

```zsh
eval "$(b)"
```
:::

::::

Start a new shell.
"""


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        (RST_TABS, "a.rst"),
        (f"```{{eval-rst}}\n{RST_TABS}```\n", "a.md"),
        (MKDOCS_TABS, "a.md"),
        (MYST_TABS, "a.md"),
    ],
)
def test_each_tab_stands_under_its_title(text: str, uri: str) -> None:
    units = _units(f"Shells\n------\n\n{text}", uri=uri)
    assert [(unit.heading, unit.kind, unit.text) for unit in units] == [
        ("Shells: Bash", "sentence", "Add this to ~/.bashrc:"),
        ("Shells: Bash", "code", 'eval "$(a)"'),
        ("Shells: Zsh", "sentence", "Add this to ~/.zshrc:"),
        ("Shells: Zsh", "code", 'eval "$(b)"'),
        ("Shells", "sentence", "Start a new shell."),
    ]


def test_code_that_a_chunk_begins_in_ends_at_the_text_after_it() -> None:
    text = """            request = Request(
                url="http://a.example",
            )

        Cookies are kept for later. They are sent again.
"""
    after = [("sentence", "Cookies are kept for later."), ("sentence", "They are sent again.")]
    code = 'request = Request(\n    url="http://a.example",\n)'
    assert _shown(text, uri="a.rst") == [("code", code), *after]
    cut = Chunk(id="c", uri="a.rst", title="Doc", text=text.lstrip(), start=90, end=90 + len(text))
    shown = [(unit.kind, unit.text) for unit in units_of(cut)]
    assert (shown[0][0], shown[1:]) == ("code", after)


def test_text_below_a_first_line_whose_indent_stayed_behind_is_no_code() -> None:
    text = "Cookies are kept.\n\n        Example of what is kept for later.\n"
    for start, kind in ((0, "code"), (90, "sentence")):
        chunk = Chunk(
            id="c", uri="a.rst", title="Doc", text=text, start=start, end=start + len(text)
        )
        assert [unit.kind for unit in units_of(chunk)] == ["sentence", kind]
