from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import ConfigError
from ragkit.core.text import sentences, terms


def test_sentences_end_at_full_stops_but_not_in_abbreviations() -> None:
    text = "Dr. Smith measured 3.5 km. He went home.\n\nA new paragraph"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Smith measured 3.5 km.",
        "He went home.",
        "A new paragraph",
    ]


@pytest.mark.parametrize("language", ["english", "chinese", "thai", "multilingual"])
@pytest.mark.parametrize(
    "parts",
    [
        ["今天天气很好。", "我们去公园吧！", "你去吗？", "他说：“我来了。”", "然后走了。"],
        ["東京は首都です。", "「はい」と言った。", "高さは3.5メートル。"],
        ["안녕하세요. ", "3.5입니다. ", "끝?"],
        ["यह पहला वाक्य है। ", "यह दूसरा है॥ ", "क्या? ", "हाँ।"],
        ["هل هذا سؤال؟ ", "نعم. ", "جملة أخرى! ", "ثم"],
        ["یہ جملہ ہے۔ ", "دوسرا جملہ۔"],
        ["ይህ ዓረፍተ ነገር ነው። ", "ሁለተኛ።"],
        ["မြန်မာ။ ", "ဒုတိယ။"],
        ["ខ្ញុំរៀនភាសាខ្មែរ។", "គាត់ទៅផ្សារ៕ ", "ពីរ"],
        ["བོད་ཡིག།  ", "གཉིས་པ།"],
    ],
)
def test_sentences_end_at_the_full_stops_of_any_script(parts: list[str], language: str) -> None:
    text = "".join(parts)
    found = [text[start:end] for start, end in sentences(text, language=language)]
    assert found == [part.strip() for part in parts]


def test_thai_sentences_end_at_spaces_between_clauses() -> None:
    clause = "ทีมรับของแพนเธอร์สเสียคะแนนเพียงสามร้อยแปดคะแนนในฤดูกาลนี้ทั้งหมดรวมกัน"
    text = f"{clause} และทีมได้อันดับหก {clause} ในปี 2560 {clause}"
    found = [text[start:end] for start, end in sentences(text)]
    assert found == [clause, f"และทีมได้อันดับหก {clause}", f"ในปี 2560 {clause}"]


def test_dots_of_thai_abbreviations_end_no_sentence() -> None:
    text = "เกิดเมื่อ พ.ศ. 2500 โดย ดร. สมชาย"
    assert [text[start:end] for start, end in sentences(text)] == [text]


@given(st.one_of(st.text(), st.text(alphabet="กขค ไม่ລາວខ្មែរ។ བོད། 。ab.! \n")))
def test_sentences_are_ordered_and_hold_all_that_is_not_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert sum(len("".join(text[a:b].split())) for a, b in spans) == len("".join(text.split()))


def test_terms_are_stems_without_stop_words() -> None:
    assert terms("The Engines were RUNNING, and the engine ran") == ["engin", "run", "engin", "ran"]


def test_an_unknown_language_is_named_with_those_known() -> None:
    with pytest.raises(ConfigError, match=r"'klingon'.*english"):
        terms("x", language="klingon")
