"""The packaged cross-encoder: one small network that rates passages and finds answers in them.

It reads a question and a passage together (Nogueira & Cho 2019, arXiv:1901.04085) and gives the
relevance of the passage and, for every pair of tokens, how well the text between them answers the
question (Devlin et al. 2019, arXiv:1810.04805). Weights are int8 and run on ONNX Runtime;
`weights/README.md` is their model card.
"""

import functools
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ragkit.core.errors import MissingExtraError
from ragkit.core.types import FloatArray
from ragkit.models.onnx_session import onnx_session
from ragkit.models.packaged import CROSS_ENCODER, MINILM, verified_folder, verified_weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

PACKAGED_READER = "packaged:minilm-reader"
"""Its name in settings."""

_QUERY_TOKENS = 64
_HEADER_TOKENS = 48
_WINDOW = 320
_STRIDE = 160
_SPAN_TOKENS = 30
_BATCH_TOKENS = 2048

_IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanReading:
    """The best answer between two places of a passage: `text[start:end]`.

    `score` is how much higher its logits are than those of "no answer here".
    """

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLogits:
    """The network's logits for the tokens of a part of a passage.

    Attributes:
        offsets: Start and end of each token in the passage, `[tokens, 2]`.
        starts: Logits of each token as the first of the answer, `[tokens]`.
        ends: Logits of each token as the last one, `[tokens]`.
        none: The sum of the logits of "no answer here".
    """

    offsets: _IntArray
    starts: FloatArray
    ends: FloatArray
    none: float

    def best(self, start: int, end: int) -> SpanReading | None:
        """Return the best span of at most 30 tokens within `start:end`, None without tokens."""
        first = int(np.searchsorted(self.offsets[:, 0], start))
        last = int(np.searchsorted(self.offsets[:, 1], end, side="right"))
        size = last - first
        if size <= 0:
            return None
        sums = self.starts[first:last, None] + self.ends[None, first:last]
        allowed = np.triu(np.tril(np.ones((size, size), dtype=bool), _SPAN_TOKENS - 1))
        sums = np.where(allowed, sums, -np.inf)
        at, to = divmod(int(sums.argmax()), size)
        return SpanReading(
            start=int(self.offsets[first + at, 0]),
            end=int(self.offsets[first + to, 1]),
            score=float(sums[at, to]) - self.none,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The output of the network for a passage.

    `relevance` is a logit, that of the most relevant window; `windows` are the logits of each.
    """

    relevance: float
    windows: tuple[SpanLogits, ...]

    def best(self, start: int = 0, end: int = sys.maxsize) -> SpanReading | None:
        """Return the best span within `start:end` of the passage, None without words there."""
        found = [span for window in self.windows if (span := window.best(start, end))]
        return max(found, key=lambda span: span.score, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadingWindow:
    """A part of a passage that is read at once, under its header.

    The first `above` of the token ids are the header's; `offsets` are the characters of the others.
    """

    passage: int
    above: int
    ids: list[int]
    offsets: list[tuple[int, int]]


class CrossEncoderModel:
    """The network, loaded on first use; one forward pass at a time."""

    def __init__(self, weights: Path | None = None) -> None:
        """Use the packaged weights, or an ONNX file that `training/export.py` made."""
        self._weights = weights
        self._lock = threading.Lock()

    def read(
        self, query: str, passages: Sequence[str], *, headers: Sequence[str] | None = None
    ) -> list[Reading]:
        """Read every passage; one longer than the network's input is read in windows.

        Args:
            query: The question; it is cut after 64 tokens.
            passages: The texts to read.
            headers: Title and headings of each passage; answers are not taken from them.
        """
        windows = list(self._windows(passages, headers or [""] * len(passages)))
        relevance = np.full(len(passages), -np.inf, dtype=np.float32)
        spans: list[list[SpanLogits]] = [[] for _ in passages]
        for window, (logit, one) in zip(windows, self._read(query, windows), strict=True):
            relevance[window.passage] = max(relevance[window.passage], logit)
            spans[window.passage].append(one)
        return [
            Reading(relevance=float(logit), windows=tuple(parts))
            for logit, parts in zip(relevance, spans, strict=True)
        ]

    def relevance(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Return the relevance of each passage as a logit, `[n]`: its most relevant window's."""
        windows = list(self._windows(passages, [""] * len(passages)))
        best: FloatArray = np.full(len(passages), -np.inf, dtype=np.float32)
        head = self._head(query)
        for batch in _batches(windows, len(head) + 1):
            (logits,) = self._forward(head, [windows[at].ids for at in batch], ["relevance"])
            np.maximum.at(best, [windows[at].passage for at in batch], logits)
        return best

    def _windows(self, passages: Sequence[str], headers: Sequence[str]) -> Iterator[_ReadingWindow]:
        above = [one.ids[:_HEADER_TOKENS] for one in self._encoded(headers)]
        for number, one in enumerate(self._encoded(passages)):
            for first in range(0, max(1, len(one.ids) - _WINDOW + _STRIDE), _STRIDE):
                part = slice(first, first + _WINDOW)
                yield _ReadingWindow(
                    passage=number,
                    above=len(above[number]),
                    ids=[*above[number], *one.ids[part]],
                    offsets=one.offsets[part],
                )

    def _encoded(self, texts: Sequence[str]) -> "list[Encoding]":
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def _read(
        self, query: str, windows: Sequence[_ReadingWindow]
    ) -> list[tuple[float, SpanLogits]]:
        head = self._head(query)
        found: dict[int, tuple[float, SpanLogits]] = {}
        for batch in _batches(windows, len(head) + 1):
            texts = [windows[at].ids for at in batch]
            relevance, spans = self._forward(head, texts, ["relevance", "spans"])
            for row, at in enumerate(batch):
                first = len(head) + windows[at].above
                last = first + len(windows[at].offsets)
                logits = SpanLogits(
                    offsets=np.array(windows[at].offsets, dtype=np.int64).reshape(-1, 2),
                    starts=spans[row, first:last, 0],
                    ends=spans[row, first:last, 1],
                    none=float(spans[row, 0].sum()),
                )
                found[at] = float(relevance[row]), logits
        return [found[at] for at in range(len(windows))]

    def _head(self, query: str) -> list[int]:
        """Return the tokens before every passage."""
        asked = self._tokenizer.encode(query, add_special_tokens=False).ids[:_QUERY_TOKENS]
        first, mark = self._marks
        return [first, *asked, mark]

    def _forward(
        self, head: list[int], texts: Sequence[list[int]], outputs: Sequence[str]
    ) -> list[FloatArray]:
        """Return the named outputs: `relevance`, `[n]`, span logits `spans`, `[n, tokens, 2]`."""
        width = len(head) + 1 + max(map(len, texts))
        ids: _IntArray = np.zeros((len(texts), width), dtype=np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, text in enumerate(texts):
            size = len(head) + len(text) + 1
            ids[row, :size] = [*head, *text, self._marks[1]]
            mask[row, :size] = 1
            types[row, len(head) : size] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        with self._lock:
            found = self._session.run(outputs, given)
        return [np.asarray(one, np.float32) for one in found]

    @cached_property
    def _session(self) -> "InferenceSession":
        return onnx_session(self._weights or verified_weights(CROSS_ENCODER), spinning=True)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("tokenizers", extra="local") from error
        tokenizer = Tokenizer.from_file(str(verified_folder(MINILM) / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _marks(self) -> tuple[int, int]:
        """The tokens before a question, and after it and a passage."""
        first, *_, last = self._tokenizer.encode("").ids
        return first, last


@functools.cache
def packaged_cross_encoder() -> CrossEncoderModel:
    """Return the one instance of this process, which reranker and reader share."""
    return CrossEncoderModel()


def _batches(windows: Sequence[_ReadingWindow], others: int) -> Iterator[list[int]]:
    """Yield positions of windows of similar length, which need little padding."""
    batch: list[int] = []
    for at in sorted(range(len(windows)), key=lambda item: len(windows[item].ids)):
        if batch and (len(batch) + 1) * (others + len(windows[at].ids)) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
