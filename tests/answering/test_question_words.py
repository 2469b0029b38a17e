import pytest

from ragkit.answering.question_words import NAME, QuestionWords


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What does --omit do?", ["--omit"]),
        ("What is maxRetries for?", ["maxRetries"]),
        ("How is st.form used with run()?", ["st.form", "run()"]),
        ("Which line-by-line cross-origin options are there?", []),
        ("Is it well-known?", []),
        ("maxRetries是什么?", ["maxRetries"]),
    ],
)
def test_names_of_code_are_told_from_words(question: str, names: list[str]) -> None:
    assert NAME.findall(question) == names


def test_words_are_found_inside_names_and_rare_ones_count_more() -> None:
    texts = ["the default size", "the default port", "the default"]
    words = QuestionWords("What is the default size?", texts, "english")
    assert words.coverage("defaultSize") == pytest.approx(1.0)
    assert words.coverage("size") > words.coverage("default") > words.coverage("cats") == 0.0


def test_a_name_counts_more_than_what_it_is_called() -> None:
    texts = ["omit them", "an option", "something"]
    words = QuestionWords("What does the --omit option do?", texts, "english")
    assert words.coverage("omit") > 2 * words.coverage("option")


def test_a_question_without_words_is_covered_by_nothing() -> None:
    assert QuestionWords("?", [], "english").coverage("a text") == 0.0


@pytest.mark.parametrize("language", ["english", "multilingual", "arabic"])
@pytest.mark.parametrize(
    "question",
    ["a.bकि क्या है?", "มaxใน.การตั้งค่า", "foo.cafe\u0301 maxRetries?", "ماهوmax_retriesهنا؟"],
)
def test_a_name_beside_another_script_is_counted(question: str, language: str) -> None:
    assert QuestionWords(question, [question], language).coverage(question) == pytest.approx(1.0)


def test_a_letter_alone_tells_names_apart() -> None:
    texts = ["Valve C costs 12", "Valve D costs 19"]
    words = QuestionWords("What is the price of Valve D?", texts, "english")
    assert words.coverage("Valve D costs 19") > words.coverage("Valve C costs 12")
    asked = QuestionWords("What do I pay? A list, Ann's", ["I pay Ann"], "english")
    assert asked.coverage("I A s") == 0.0
