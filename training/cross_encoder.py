"""Train the reader and reranker: one network, two heads, on questions with hard negatives.

    python -m training.cross_encoder MINED.jsonl OUT [--minutes 60] [--start OUT/model.safetensors]

Loss of a question: cross-entropy of its passage's relevance against its negatives', a binary
cross-entropy that keeps relevance on one scale over all questions, and for questions with a span,
cross-entropies of its first and last token; in a negative, span logits point at [CLS]. Questions
with a span are read three times more alone in every round. A checkpoint is written every few
minutes, and `--start` goes on from one. The network is compiled, which takes a C++ compiler and
half a minute for each length of input, and then trains half as fast again.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812  # its usual name

from ragkit.models.packaged import packaged_folder
from training.network import ReaderReranker
from training.questions import SQUAD, held_out

_QUERY_TOKENS = 64
_SEQUENCES = 36
_ROWS = _SEQUENCES + 2
_STEP = 32
_POOL = 40 * _SEQUENCES
_SHAPES = 32
_SAVE_S = 240
_ALONE = 3
"""How often in a round a question with a span is read without negatives."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with one passage, in tokens.

    `span` is the answer's first and last token, (0, 0) without an answer, None if not known.
    """

    ids: list[int]
    types: list[int]
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Group:
    """The pairs of one question, the right passage first."""

    pairs: tuple[Pair, ...]

    @property
    def longest(self) -> int:
        """Tokens of its longest pair."""
        return max(len(pair.ids) for pair in self.pairs)


class Encoder:
    """Turns lines of the mined file into groups of tokens."""

    def __init__(self, *, passage_tokens: int, negatives: int, seed: int) -> None:
        """Use the tokenizer of the packaged model."""
        self._tokenizer = Tokenizer.from_file(str(packaged_folder() / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._cls = self._tokenizer.token_to_id("[CLS]")
        self._sep = self._tokenizer.token_to_id("[SEP]")
        self._limit = passage_tokens
        self._negatives = negatives
        self._draw = random.Random(seed)

    def group(self, line: dict[str, Any], *, alone: bool = False) -> Group:
        """The question's passage and some negatives, or the passage alone."""
        query = self._tokenizer.encode(line["query"], add_special_tokens=False).ids
        query = query[:_QUERY_TOKENS]
        title = line["title"] if line["answer"] is not None else ""
        header = f"{title}\n\n" if title and self._draw.random() < 0.7 else ""
        pairs = [self._pair(query, header + line["positive"], line["answer"], len(header))]
        if not alone:
            pool = line["negatives"]
            # Half of them from the first few: those are the hardest.
            hard = pool[:6] if self._draw.random() < 0.5 else pool
            for text in self._draw.sample(hard, min(self._negatives, len(hard))):
                body = text.partition("\n\n")[2] if title and not header else text
                span = (0, 0) if line["answer"] is not None else None
                pairs.append(self._pair(query, body or text, None, 0, empty=span))
        return Group(tuple(pairs))

    def _pair(
        self,
        query: list[int],
        text: str,
        answer: list[int] | None,
        shift: int,
        *,
        empty: tuple[int, int] | None = None,
    ) -> Pair:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        ids, span, first = encoded.ids, empty, 0
        limit = self._limit if answer is None else self._limit + 64
        if answer is not None:
            start, end = answer[0] + shift, answer[1] + shift
            inside = [i for i, (a, b) in enumerate(encoded.offsets) if a < end and b > start]
            if len(ids) > limit:  # A window that holds the answer.
                low, high = max(0, inside[-1] - limit + 1), min(inside[0], len(ids) - limit)
                first = self._draw.randint(low, high) if low <= high else inside[0]
            offset = len(query) + 2 - first
            span = (inside[0] + offset, min(inside[-1], first + limit - 1) + offset)
        ids = ids[first : first + limit]
        return Pair(
            ids=[self._cls, *query, self._sep, *ids, self._sep],
            types=[0] * (len(query) + 2) + [1] * (len(ids) + 1),
            span=span,
        )


def rounds(
    lines: Sequence[dict[str, Any]], encoder: Encoder, *, seed: int
) -> Iterator[tuple[float, list[Group]]]:
    """Batches without end, of groups of similar length, with the rounds done so far."""
    draw = random.Random(seed)
    spans = [line for line in lines if line["dataset"] == SQUAD]
    number = 0
    while True:
        order = [(line, False) for line in lines] + _ALONE * [(line, True) for line in spans]
        draw.shuffle(order)
        pool: list[Group] = []
        for position, (line, alone) in enumerate(order):
            pool.append(encoder.group(line, alone=alone))
            if sum(len(group.pairs) for group in pool) >= _POOL or position == len(order) - 1:
                made = list(batches(pool))
                draw.shuffle(made)
                for batch in made:
                    yield number + position / len(order), batch
                pool = []
        number += 1


def batches(pool: list[Group]) -> Iterator[list[Group]]:
    """Groups of similar length, about `_SEQUENCES` pairs at a time."""
    batch: list[Group] = []
    for group in sorted(pool, key=lambda item: item.longest):
        batch.append(group)
        if sum(len(item.pairs) for item in batch) >= _SEQUENCES:
            yield batch
            batch = []
    if batch:
        yield batch


def loss_of(
    model: Callable[..., tuple[torch.Tensor, torch.Tensor]], batch: Sequence[Group]
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch and its parts."""
    pairs = [pair for group in batch for pair in group.pairs]
    # Few shapes: kernels are compiled, and memory is laid out, for each shape.
    length = -(-max(len(pair.ids) for pair in pairs) // _STEP) * _STEP
    ids = np.zeros((max(len(pairs), _ROWS), length), dtype=np.int64)
    types, mask = np.zeros_like(ids), np.zeros_like(ids)
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.ids)] = pair.ids
        types[row, : len(pair.ids)] = pair.types
        mask[row, : len(pair.ids)] = 1
    mask[:, 0] = 1
    attention = torch.from_numpy(mask)
    with torch.autocast("cpu", torch.bfloat16):
        relevance, spans = model(torch.from_numpy(ids), attention, torch.from_numpy(types))
    relevance, spans = relevance[: len(pairs)], spans[: len(pairs)]
    # A span is a part of the passage, or [CLS].
    legal = torch.from_numpy((types & mask)[: len(pairs)].astype(bool))
    legal[:, 0] = True
    spans = spans.masked_fill(~legal[:, :, None], -1e4)
    sizes = [len(group.pairs) for group in batch]
    right = torch.zeros(len(pairs))
    right[np.cumsum([0, *sizes[:-1]])] = 1
    ranking = [-F.log_softmax(part, 0)[0] for part in relevance.split(sizes) if len(part) > 1]
    parts = {
        "rank": torch.stack(ranking).mean() if ranking else relevance.sum() * 0,
        "binary": F.binary_cross_entropy_with_logits(relevance, right),
    }
    known = [row for row, pair in enumerate(pairs) if pair.span is not None]
    if known:
        target = torch.tensor([pairs[row].span for row in known])
        found = spans[known]
        losses = sum(
            F.cross_entropy(found[:, :, side], target[:, side], reduction="none") for side in (0, 1)
        )
        weights = torch.where(target[:, 0] == 0, 0.3, 1.0)
        parts["span"] = (losses * weights).sum() / weights.sum() / 2
    total = parts["rank"] + 0.3 * parts["binary"] + parts.get("span", torch.tensor(0.0))
    return total, {name: part.item() for name, part in parts.items()}


def train(lines: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Train for the given time; the learning rate falls to zero as it runs out."""
    torch.manual_seed(options.seed)
    model = ReaderReranker(packaged_folder())
    if options.start:
        model.load_state_dict(load_file(options.start), strict=True)
    model.train()
    torch._dynamo.config.recompile_limit = _SHAPES  # noqa: SLF001  # has no other name
    compiled = torch.compile(model, dynamic=False)
    encoder = Encoder(passage_tokens=options.tokens, negatives=options.negatives, seed=options.seed)
    weights = [item for item in model.parameters() if item.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.01, fused=True)
    options.out.mkdir(parents=True, exist_ok=True)
    started = saved = time.monotonic()
    seen, mean = 0, dict.fromkeys(("rank", "binary", "span"), math.nan)
    for step, (done, batch) in enumerate(rounds(lines, encoder, seed=options.seed)):
        used = (time.monotonic() - started) / (60 * options.minutes)
        if used >= 1 or done >= options.rounds:
            break
        left = 1 - max(used, done / options.rounds)
        for part in optimizer.param_groups:
            part["lr"] = options.rate * min(1.0, (step + 1) / options.warmup) * left
        loss, parts = loss_of(compiled, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        seen += sum(len(group.pairs) for group in batch)
        for name, value in parts.items():
            mean[name] = value if math.isnan(mean[name]) else 0.98 * mean[name] + 0.02 * value
        if step % 50 == 0:
            speed = seen / (time.monotonic() - started)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"{step:6} round {done:.2f}  {shown}  {speed:.1f} pairs/s", flush=True)
        if time.monotonic() - saved > _SAVE_S:
            save_file(model.state_dict(), options.out / "model.safetensors")
            saved = time.monotonic()
    save_file(model.state_dict(), options.out / "model.safetensors")
    print(f"{seen} pairs in {time.monotonic() - started:.0f} s")


def main() -> None:
    """Read the mined lines and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mined", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=float, default=2)
    parser.add_argument("--tokens", type=int, default=136, help="of a passage, 64 more to read it")
    parser.add_argument("--negatives", type=int, default=2)
    parser.add_argument("--others", type=int, default=30_000, help="questions without a span")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    options = parser.parse_args()
    with options.mined.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    random.Random(options.seed).shuffle(lines)
    kept = held_out({line["title"] for line in lines if line["dataset"] == SQUAD})
    spans = [line for line in lines if line["dataset"] == SQUAD and line["title"] not in kept]
    others = [line for line in lines if line["dataset"] != SQUAD][: options.others]
    train(spans + others, options)


if __name__ == "__main__":
    main()
