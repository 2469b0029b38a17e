"""Support of an answer by its quotes, measured by shared words, without a model."""

from ragkit.core.text import sentences, terms
from ragkit.core.types import Answer

COVERED = 0.8
"""The least share of a sentence's content words that the quotes must contain."""


def lexical_support(answer: Answer, *, least: float = COVERED, language: str = "english") -> float:
    """Return the share of the answer's sentences whose content words stand in its quotes.

    It measures if the words come from the quotes, not if the quotes mean the same; for that see
    `ragkit.evaluation.judge`. A sentence without content words counts as supported.

    Args:
        answer: The answer with its citations.
        least: Least share of a sentence's stems that must be among the quotes'.
        language: Of stems and sentences.
    """
    quoted = {
        term for citation in answer.citations for term in terms(citation.quote, language=language)
    }
    spans = sentences(answer.text, language=language)
    if not spans:
        return 0.0
    said = [set(terms(answer.text[start:end], language=language)) for start, end in spans]
    return sum(not words or len(words & quoted) / len(words) >= least for words in said) / len(said)
