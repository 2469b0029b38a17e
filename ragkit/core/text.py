"""Sentences, and the stems of words that carry meaning: one analysis for all parts."""

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping

from ragkit.core.errors import ConfigError
from ragkit.core.lexical_form import lexical_form
from ragkit.core.sentence_marks import refined

_STEMMED: Mapping[str, str] = {
    "arabic": "ar", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hungarian": "hu", "italian": "it",
    "norwegian": "no", "portuguese": "pt", "romanian": "ro", "russian": "ru", "spanish": "es",
    "swedish": "sv", "turkish": "tr",
}  # fmt: skip
_UNSTEMMED: Mapping[str, str] = {
    "chinese": "zh", "hebrew": "he", "hindi": "hi", "japanese": "ja", "khmer": "km", "korean": "ko",
    "lao": "lo", "burmese": "my", "persian": "fa", "polish": "pl", "thai": "th", "ukrainian": "uk",
    "urdu": "ur", "vietnamese": "vi", "multilingual": "en",
}  # fmt: skip
LANGUAGES: Mapping[str, str] = {**_STEMMED, **_UNSTEMMED}
"""Languages of text analysis, with the ISO codes of their rules for sentences.

`multilingual` is for texts in several languages. Like those without a Snowball stemmer and a list
of stop words, it takes words as they are written.
"""

_WORD = re.compile(r"\w+")
_ENGLISH_STOP_WORDS = frozenset(
    """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves what which who whom
    this that these those am is are was were be been being have has had having do does did doing
    a an the and but if or because as until while of at by for with about against between into
    through during before after above below to from up down in out on off over under again
    further then once here there when where why how all any both each few more most other some
    such no nor not only own same so than too very s t can will just don should now d ll m o re
    ve y
    """.split()  # noqa: SIM905 - a list would take 130 lines
)


def check_language(language: str) -> str:
    """Return the language's name.

    Raises:
        ConfigError: It is unknown; the message lists those that are known.
    """
    if language not in LANGUAGES:
        raise ConfigError(
            f"Unknown language {language!r} for text analysis. "
            f"Fix: use one of {', '.join(LANGUAGES)}."
        )
    return language


def has_stems(language: str) -> bool:
    """Return whether words of a language are stemmed, and its stop words left out."""
    return check_language(language) in _STEMMED


def sentences(text: str, *, language: str = "english") -> list[tuple[int, int]]:
    """Return the spans of the sentences, without the white space around them, in order.

    Splits by the rules of sentencex (Wikimedia Foundation), and at line breaks between blocks.
    Every language's full stops count in any text; see `ragkit.core.sentence_marks` for the rest.
    """
    import sentencex

    found = sentencex.get_sentence_boundaries(LANGUAGES[check_language(language)], text)
    boundaries = ((boundary["start_index"], boundary["end_index"]) for boundary in found)
    spans: list[tuple[int, int]] = []
    for start, end in refined(text, boundaries):
        part = text[start:end]
        start += len(part) - len(part.lstrip())
        if part := part.strip():
            spans.append((start, start + len(part)))
    return spans


def is_unicode(text: str) -> bool:
    """Return whether a text has only characters, and no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_mostly_latin(text: str) -> bool:
    """Return whether at least half of a text's letters are Latin; a text of none is."""
    if text.isascii():
        return True
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return 2 * latin >= len(letters)


def may_exceed(text: str, tokens: int) -> bool:
    """Return whether a text may have more tokens than this; an ASCII token has a character."""
    return len(text) > tokens or not text.isascii()


def terms(text: str, *, language: str = "english", passage: bool = False) -> list[str]:
    """Return lower-cased Snowball stems of the words, without English stop words, in order.

    The words are those of the text's lexical form, where a `passage` has shorter n-grams too.
    """
    stemmed = has_stems(language)
    # Before, since İ becomes an i with a dot as a mark; after, since the form of ㎐ is Hz.
    found = _words(lexical_form(text.lower(), passage=passage).lower())
    wanted = [word for word in found if word not in _ENGLISH_STOP_WORDS]
    return _stemmer(language)(wanted) if stemmed else wanted


def _words(text: str) -> list[str]:
    if text.isascii():
        return _WORD.findall(text)
    from ragkit.core.scripts import words

    return words(text)


@functools.cache
def _stemmer(language: str) -> Callable[[list[str]], list[str]]:
    import Stemmer

    stemmer = Stemmer.Stemmer(language)
    stem: Callable[[list[str]], list[str]] = stemmer.stemWords
    return stem
