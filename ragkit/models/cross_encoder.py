"""The packaged cross-encoder: one small network that rates passages and finds answers in them.

It reads a question and a passage together (Nogueira & Cho 2019, arXiv:1901.04085) and gives the
relevance of the passage and, for every pair of tokens, how well the text between them answers the
question (Devlin et al. 2019, arXiv:1810.04805). Weights are int8 and run on ONNX Runtime;
`weights/README.md` is their model card.
"""

import functools
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
class Reading:
    """The output of the network for a passage.

    `relevance` is a logit; `text[start:end]` of the passage is the best answer in it, and `score`
    how much higher its logits are than those of "no answer here".
    """

    relevance: float
    start: int
    end: int
    score: float


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
        best: list[Reading | None] = [None] * len(passages)
        for window, reading in zip(windows, self._read(query, windows), strict=True):
            known = best[window.passage]
            best[window.passage] = reading if known is None else _better(known, reading)
        return [reading for reading in best if reading is not None]

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

    def _read(self, query: str, windows: Sequence[_ReadingWindow]) -> list[Reading]:
        head = self._head(query)
        readings: dict[int, Reading] = {}
        for batch in _batches(windows, len(head) + 1):
            texts = [windows[at].ids for at in batch]
            relevance, spans = self._forward(head, texts, ["relevance", "spans"])
            for row, at in enumerate(batch):
                first = len(head) + windows[at].above
                start, end, score = _best_span(spans[row], first, len(windows[at].offsets))
                offsets = windows[at].offsets or [(0, 0)]
                readings[at] = Reading(
                    relevance=float(relevance[row]),
                    start=offsets[start][0],
                    end=offsets[end][1],
                    score=score,
                )
        return [readings[at] for at in range(len(windows))]

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
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", extra="local") from error
        weights = self._weights or verified_weights(CROSS_ENCODER)
        return onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])

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


def _better(one: Reading, other: Reading) -> Reading:
    """Return the higher relevance of two windows, and the span with the higher score."""
    span = max(one, other, key=lambda item: item.score)
    return Reading(
        relevance=max(one.relevance, other.relevance),
        start=span.start,
        end=span.end,
        score=span.score,
    )


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


def _best_span(logits: FloatArray, first: int, size: int) -> tuple[int, int, float]:
    """Return first and last token of the best span in the passage, and its margin over none."""
    if size == 0:
        return 0, 0, -float("inf")
    starts, ends = logits[first : first + size, 0], logits[first : first + size, 1]
    sums = starts[:, None] + ends[None, :]
    allowed = np.triu(np.tril(np.ones((size, size), dtype=bool), _SPAN_TOKENS - 1))
    sums = np.where(allowed, sums, -np.inf)
    start, end = divmod(int(sums.argmax()), size)
    return start, end, float(sums[start, end] - logits[0, 0] - logits[0, 1])
