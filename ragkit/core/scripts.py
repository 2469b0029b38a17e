"""Scripts that a tokenizer of words between spaces does not do justice to.

Scripts without spaces become overlapping n-grams of characters, as in Lucene's CJK analyzer. Of
letters that can be written in several ways one is taken, marks in which a tokenizer would divide a
word are left out, and so are the article and endings of Arabic words (light stemming after Larkey
et al. 2002). Each run of characters is treated by its script alone.
"""

import unicodedata
from collections.abc import Mapping, Sequence

import regex

_GRAMS: Mapping[str, int] = {
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー〆": 2,
    r"\p{Hangul}": 2,
    r"\p{Thai}\p{Lao}": 3,
    r"\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}": 2,
    r"\p{Javanese}\p{Balinese}": 2,
}
"""Characters of an n-gram, by scripts. In Thai and Lao vowels stand as characters of their own.

Korean has spaces, but its words end in particles.
"""
_RUN = regex.compile("|".join(f"((?:[{scripts}]\\p{{M}}*)+)" for scripts in _GRAMS))
_SIZES = tuple(_GRAMS.values())

_COMPATIBLE = regex.compile(
    r"[\u2e80-\u2fdf\u3200-\u33ff\uf900-\ufdff\ufe30-\ufe4f\ufe70-\ufefc\uff01-\uffee]+"
)
"""Presentation forms, ligatures, full and half widths. A superscript stays: 10² is not 102."""
_ACCENTED_GREEK = (chr(c) for c in (*range(0x386, 0x3CF), *range(0x1F00, 0x1FFF)))
_ONE_WAY: Mapping[int, int | str] = {
    **str.maketrans("أإآٱىةیکёЁ", "اااايهيكеЕ"),
    **{ord(c): unicodedata.normalize("NFD", c)[0] for c in _ACCENTED_GREEK},
}
_LEFT_OUT = regex.compile(
    r"(?V1)[\p{M}&&\P{Alphabetic}]"
    r"|[\p{M}&&[\p{Hebrew}\u064b-\u065f\u0670]]|\u0640"  # vowel points; the line that stretches
    r"|[\xad\u061c\u200d\u2060\ufeff]"
    r"|(?<!\p{Arabic})\u200c"  # Persian divides words with it
)
_MARK = regex.compile(r"\p{M}")
_WORD = regex.compile(r"[\p{Alphabetic}\p{N}_]+")
_DIGIT = regex.compile(r"(?V1)[\p{Nd}--[0-9]]")

_ARABIC_WORD = regex.compile(r"\p{Arabic}{4,}")
_ARTICLES = ("وال", "بال", "كال", "فال", "ال", "لل")
_ENDINGS = ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي")


def written_alike(text: str, *, passage: bool) -> str:
    """Return the lexical form of a text (see `ragkit.core.lexical_form`)."""
    text = _COMPATIBLE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = unicodedata.normalize("NFC", text).translate(_ONE_WAY)
    # Marks are left out after the runs are divided: they belong to a character.
    text = _RUN.sub(lambda found: _grams(found, passage=passage), text)
    text = _DIGIT.sub(_ascii_digit, _LEFT_OUT.sub("", text))
    return _ARABIC_WORD.sub(lambda word: _light_stem(word[0]), text)


def _ascii_digit(found: regex.Match[str]) -> str:
    """Return a digit as one of 0 to 9, or as it is where Python's Unicode is older than regex's."""
    value = unicodedata.decimal(found[0], None)
    return found[0] if value is None else str(value)


def words(text: str) -> list[str]:
    """Return the runs of letters with their marks, digits and underscores, in order."""
    return _WORD.findall(text)


def _grams(found: regex.Match[str], *, passage: bool) -> str:
    run, size = found[0], _SIZES[(found.lastindex or 1) - 1]
    characters: Sequence[str] = regex.findall(r"\X", run) if _MARK.search(run) else run
    longest = min(size, len(characters))
    shortest = max(1, min(longest, size - 1)) if passage else longest
    grams = (
        "".join(characters[first : first + length])
        for length in range(shortest, longest + 1)
        for first in range(len(characters) - length + 1)
    )
    return f" {' '.join(grams)} "


def _light_stem(word: str) -> str:
    article = next((one for one in _ARTICLES if word.startswith(one)), "")
    if len(word) - len(article) >= 2:
        word = word[len(article) :]
    ending = next((one for one in _ENDINGS if word.endswith(one)), "")
    return word.removesuffix(ending) if len(word) - len(ending) >= 3 else word
