"""Sentences, and the stems of words that carry meaning: one analysis for all parts."""

import functools
import re
from collections.abc import Callable, Mapping

from ragkit.core.errors import ConfigError

LANGUAGES: Mapping[str, str] = {
    "arabic": "ar", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hungarian": "hu", "italian": "it",
    "norwegian": "no", "portuguese": "pt", "romanian": "ro", "russian": "ru", "spanish": "es",
    "swedish": "sv", "turkish": "tr",
}  # fmt: skip
"""Languages that have both a Snowball stemmer and a list of stop words, with their ISO codes."""

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


def sentences(text: str, *, language: str = "english") -> list[tuple[int, int]]:
    """Return the spans of the sentences, without the white space around them, in order.

    Splits by the rules of sentencex (Wikimedia Foundation), and at line breaks between blocks.
    """
    import sentencex

    spans: list[tuple[int, int]] = []
    for boundary in sentencex.get_sentence_boundaries(LANGUAGES[check_language(language)], text):
        start, end = boundary["start_index"], boundary["end_index"]
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


def may_exceed(text: str, tokens: int) -> bool:
    """Return whether a text may have more tokens than this; an ASCII token has a character."""
    return len(text) > tokens or not text.isascii()


def terms(text: str, *, language: str = "english") -> list[str]:
    """Return lower-cased Snowball stems of the words, without English stop words, in order."""
    words = [word for word in _WORD.findall(text.lower()) if word not in _ENGLISH_STOP_WORDS]
    return _stemmer(check_language(language))(words)


@functools.cache
def _stemmer(language: str) -> Callable[[list[str]], list[str]]:
    import Stemmer

    stemmer = Stemmer.Stemmer(language)
    stem: Callable[[list[str]], list[str]] = stemmer.stemWords
    return stem
