import pytest

from ragkit.answering.question_kind import question_kind
from ragkit.answering.suitability import (
    AskedForm,
    Suitability,
    announces,
    dated_before,
    refers_back,
)
from ragkit.answering.units import units_of
from ragkit.core.types import Chunk


def _form(question: str, text: str, *, path: tuple[str, ...] = (), start: int = 0) -> Suitability:
    chunk = Chunk(
        id="c", uri="d.md", title="Doc", text=text, start=start, end=start + len(text),
        heading_path=path,
    )  # fmt: skip
    unit = units_of(chunk)[-1]
    headings = " > ".join([chunk.header, unit.heading])
    return AskedForm(question, question_kind(question)).suitability(unit, headings)


@pytest.mark.parametrize(
    ("heading", "history"),
    [
        ("Changelog", 1.0), ("1.2.3 (2024-05-01)", 1.0), ("[1.2.4] - 2026-10-01", 1.0),
        ("Version 1.3.3", 1.0), ("v4.2", 1.0), ("4.2 (2024-05-01)", 1.0), ("4.2 - May 2024", 1.0),
        ("4.2rc1", 1.0), ("4.2", 0.0), ("§ 4.2", 0.0), ("01.02.2024", 0.0), ("2024.02.01", 0.0),
        ("2.1 Installation", 0.0), ("History of Rome", 0.0),
        ("Changes in the brain", 0.0), ("Usage", 0.0),
    ],
)  # fmt: skip
def test_a_list_of_changes_does_not_tell_how_things_are(heading: str, history: float) -> None:
    assert _form("How do I set the size?", "Set a size.", path=(heading,)).history == history
    assert _form("What changed in the size?", "Set a size.", path=(heading,)).history == 0.0


@pytest.mark.parametrize(
    ("question", "text", "mistyped"),
    [
        ("How many retries are there?", "Requests are retried.", 1.0),
        ("How many times is a request retried?", "It gets retried many times.", 1.0),
        ("How many retries are there?", "Requests are retried twice.", 0.0),
        ("What is the default timeout?", "Requests are retried twice.", 1.0),
        ("What is the default timeout?", "It waits a minute.", 0.0),
        ("What is the default timeout?", "There is no timeout.", 0.0),
        ("Which port is it?", "A port.", 1.0),
        ("When was it named?", "It is 1,230 km long.", 1.0),
        ("When was it named?", "It was named in 1230.", 0.0),
        ("When was it named?", "It was named on 3rd May.", 0.0),
        ("When should I use it?", "Use it often.", 0.0),
        ("What is a port?", "A door for ships.", 0.0),
    ],
)
def test_a_number_is_missed_where_one_is_asked_for(
    question: str, text: str, mistyped: float
) -> None:
    assert _form(question, text).mistyped == mistyped


def test_the_wording_of_a_definition_and_of_a_default_is_known() -> None:
    assert _form("What is a lock file?", "A lock file is a list of versions.").defines == 1.0
    assert _form("What is a lock file?", "Write a lock file to disk.").defines == 0.0
    assert _form("What is the default size?", "- size: the size (default: 5)").default == 1.0
    assert _form("What is the size?", "- size: the size (default: 5)").default == 0.0


def test_the_section_of_what_is_asked_about_is_known() -> None:
    question = "What does the --omit option do?"
    assert _form(question, "#### `omit`\n\nWhat is left out.").named == 1.0
    assert _form(question, "#### `optional`\n\nWhat is left out.").named == 0.0
    assert _form(question, "#### `omit`\n\n* Default: none").field == 1.0
    assert _form(question, "#### `omit`\n\nWhat is left out.").opens == 1.0
    assert _form(question, "#### `omit`\n\nOne. What is left out.").opens == 0.0
    assert _form(question, "#### `omit`\n\n* Default: none\n\nWhat is left out.").opens == 1.0


def test_parts_of_sentences_are_told_from_whole_ones() -> None:
    assert _form("Why?", "of the former page.").fragment == 1.0
    assert _form("Why?", "A page.").fragment == 0.0
    assert _form("Why?", "- an item").fragment == 0.0
    assert _form("Why?", "So, it stops.").refers == 1.0
    assert refers_back("These are two.")
    assert not refers_back("Itself is a word.")


def test_items_and_what_announces_them_answer_for_several() -> None:
    assert _form("Which formats are supported?", "- PDF").listed == 1.0
    assert _form("Which formats are supported?", "Formats are:").listed == 1.0
    assert _form("Which formats are supported?", "PDF is a format.").listed == 0.0
    assert _form("What is PDF?", "- PDF").listed == 0.0


def test_code_and_questions_are_no_prose() -> None:
    code = "```\nx = f(1)\n```"
    assert _form("How do I call f?", code).code == pytest.approx(1 / 3)
    assert _form("What is f?", code).code == 1.0
    assert _form("What is f?", "It flies. What is f?").asks == 1.0


def test_the_entry_of_a_name_is_told_from_names_like_it() -> None:
    question = "What is the default maxRetries?"
    assert _form(question, "- maxRetries (number): 5").named == 1.0
    assert _form(question, "- maxRetriesLeft (number): see maxRetries").named == 0.0


def test_a_version_that_is_installed_is_no_change() -> None:
    question = "How do I install a specific version?"
    assert _form(question, "It is fixed.", path=("1.3.3",)).history == 1.0
    assert _form("In which version was it fixed?", "Fixed.", path=("1.3.3",)).history == 0.0


def test_questions_about_changes_are_recognized_without_english_words() -> None:
    for question in ("这个版本有什么变化?", "ما الذي تغير؟", "Что изменилось?"):
        assert _form(question, "Set a size.", path=("Changelog", "1.2.3")).history == 0.0
    german = "Was ist in {} anders?"
    assert _form(german.format("1.2.3"), "A size.", path=("Changelog", "1.2.3")).history == 0.0
    assert _form(german.format("1.2.4"), "A size.", path=("Changelog", "1.2.3")).history == 1.0


def test_a_question_of_another_script_may_ask_for_a_fact() -> None:
    for question in ("默认超时是多少?", "ما هي المهلة الافتراضية؟"):
        assert _form(question, "# Timeouts\n\nTimeouts exist.").opens == 0.0
        assert _form(question, "# Timeouts\n\n- Default: 5 s").field == 0.0
    assert _form("Explain timeouts", "# Timeouts\n\nTimeouts exist.").opens == 1.0


def test_marks_of_other_scripts_ask_and_announce() -> None:
    assert _form("Why?", "- ما هذا؟").asks == _form("Why?", "- 这是什么？").asks == 1.0
    assert announces("安装步骤：")
    assert not announces("安装步骤。")


@pytest.mark.parametrize(
    ("text", "before", "place"),
    [
        ("In the same year, it closed.", ["Made in 1891.", "Lit.", "Sold in 1892.", "Red."], 2),
        ("Later that year it closed.", ["Made in 1891."], 0),
        ("In the same year, it closed.", ["It has 1,891 rooms.", "Call 18911."], None),
        ("It closed.", ["Made in 1891."], None),
        ("In the same year, it closed.", [], None),
    ],
)
def test_a_year_that_is_referred_to_is_the_last_one_before(
    text: str, before: list[str], place: int | None
) -> None:
    assert dated_before(text, before) == place
