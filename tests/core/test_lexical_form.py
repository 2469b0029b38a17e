import string
import subprocess
import sys

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.lexical_form import lexical_form
from ragkit.core.text import LANGUAGES, has_stems, terms

_SCRIPTS = "abc Ωé.,1 日本語テスト한국어ไทยນ້ຳខ្មែរမြန်မာक्षण العربية ﾃﾞ①²ﬁ\u0301\u200c\u200d\xad"
mixed = st.one_of(st.text(), st.text(alphabet=_SCRIPTS))


def words(text: str) -> list[str]:
    """Divide a text as the engine does."""
    return regex.findall(r"[\p{Alphabetic}\p{N}]+", text)


@given(st.text(alphabet=string.printable))
def test_ascii_stays_as_it_is(text: str) -> None:
    assert lexical_form(text) == lexical_form(text, passage=True) == text


@pytest.mark.parametrize(
    "text", ["Größe der Donaudampfschifffahrt", "naïve café", "10² m", "Đà Nẵng"]
)
def test_words_of_latin_letters_stay_as_they_are(text: str) -> None:
    assert lexical_form(text, passage=True) == text


def test_a_digit_that_is_newer_than_python_s_unicode_stays_as_it_is() -> None:
    assert words(lexical_form("\N{THAI DIGIT FIVE} \U000116d0")) == [
        "5",
        "\U000116d0",
    ]  # Unicode 16


@pytest.mark.parametrize(
    ("text", "query", "passage"),
    [
        ("東京", ["東京"], ["東", "京", "東京"]),
        ("東京都に", ["東京", "京都", "都に"], ["東", "京", "都", "に", "東京", "京都", "都に"]),
        ("猫", ["猫"], ["猫"]),
        ("東京Tower2024年", ["東京", "Tower2024", "年"], ["東", "京", "東京", "Tower2024", "年"]),
        ("ไทยแลนด์", ["ไทย", "ทยแ", "ยแล", "แลน", "ลนด"], None),
        ("ดี", ["ดี"], ["ดี"]),
        ("물은 왜", ["물은", "왜"], ["물", "은", "물은", "왜"]),
    ],
)
def test_scripts_without_spaces_become_ngrams(
    text: str, query: list[str], passage: list[str] | None
) -> None:
    assert words(lexical_form(text)) == query
    if passage:
        assert words(lexical_form(text, passage=True)) == passage


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("ＡＢＣ１２３", "ABC123"),
        ("ﾃﾞｰﾀ", "データ"),
        ("ﬁne", "fine"),
        ("e\u0301te\u0301", "été"),
        ("co\xadoperate", "cooperate"),
        ("शक्\u200dति", "शक्ति"),
        ("ज़", "ज"),
        ("شَمس", "شمس"),
        ("ﺷﻤﺲ", "شمس"),
        ("شـــمس", "شمس"),
        ("أمل", "امل"),
        ("کی", "كي"),
        ("١٢٣", "123"),
        ("१२३", "123"),
        ("שָׁלוֹם", "שלום"),
        ("ΆΝΘΡΩΠΟΣ", "ΑΝΘΡΩΠΟΣ"),
        ("ёлка", "елка"),
    ],
)
def test_what_is_written_in_several_ways_becomes_one(written: str, usual: str) -> None:
    assert lexical_form(written) == lexical_form(usual)


@pytest.mark.parametrize("word", ["क्या", "নদীর", "தமிழ்", "ශ්‍රී", "മലയാളം", "ྒྱལ"])
def test_marks_do_not_divide_a_word(word: str) -> None:
    assert len(words(lexical_form(word))) == len(terms(word)) == 1


def test_letters_with_marks_of_their_own_stay() -> None:
    assert lexical_form("мой йод") == "мой йод"
    assert lexical_form("がぎ") != lexical_form("かき")


def test_persian_words_are_divided_where_they_are_joined_without_a_space() -> None:
    assert words(lexical_form("می\u200cخواهم")) == ["مي", "خواهم"]


def test_arabic_words_lose_the_article_and_the_ending_but_not_their_stem() -> None:
    assert {lexical_form(word) for word in ("كتاب", "الكتاب", "والكتاب", "كتابها")} == {"كتاب"}
    assert lexical_form("الله").strip()
    assert lexical_form("ماء") == "ماء"


@given(mixed)
def test_every_word_of_a_query_is_one_of_the_same_text_as_a_passage(text: str) -> None:
    assert set(words(lexical_form(text))) <= set(words(lexical_form(text, passage=True)))


@given(mixed, mixed)
def test_the_form_of_lines_is_that_of_each_line(first: str, second: str) -> None:
    both = lexical_form(f"{first}\n.\n{second}", passage=True)
    assert words(both) == words(lexical_form(first, passage=True)) + words(
        lexical_form(second, passage=True)
    )


def test_terms_are_those_of_the_lexical_form() -> None:
    assert terms("東京タワーの running") == ["東京", "京タ", "タワ", "ワー", "ーの", "run"]
    assert terms("कर्म") == ["करम"]
    assert terms("İstanbul İSTANBUL 50 ㎐", language="turkish") == [*["istanbul"] * 2, "50", "hz"]


def test_languages_without_stems_take_words_as_they_are_written() -> None:
    assert has_stems("german")
    assert not has_stems("multilingual")
    for language in LANGUAGES:
        assert terms("running", language=language)
    assert terms("running dogs", language="multilingual") == ["running", "dogs"]


def test_english_needs_no_tables_of_unicode() -> None:
    code = (
        "import sys; from ragkit.core.text import terms; terms('The engines ran');"
        "print('regex' in sys.modules); terms('東京'); print('regex' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == ["False", "True"]
