"""Measuring of text in a model's tokens, without loading the model."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class ModelTokenizer:
    """The tokenizer of an embedding model's folder; `max_tokens` is what is left for the text."""

    def __init__(
        self, source: "Path | Tokenizer", *, model_max_tokens: int, prompt: str = ""
    ) -> None:
        """Use a tokenizer, or the `tokenizer.json` of a model, that reads `model_max_tokens`."""
        self._source = source
        self._model_max_tokens = model_max_tokens
        self._prompt = prompt

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError("tokenizers", extra="local") from error
        if not isinstance(self._source, Path):
            # A copy: the model goes on to use the original with its own truncation.
            tokenizer = Tokenizer.from_str(self._source.to_str())
        elif self._source.is_file():
            tokenizer = Tokenizer.from_file(str(self._source))
        else:
            raise ConfigError(
                f"The model has no tokenizer at {str(self._source)!r}. Fix: reinstall the model."
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _overhead(self) -> int:
        return len(self._tokenizer.encode(self._prompt).ids)

    @property
    def max_tokens(self) -> int:
        """Tokens of text that the model reads, without its special tokens and the prompt."""
        return self._model_max_tokens - self._overhead

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of the text starts, in order."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [start for start, _ in encoding.offsets]
