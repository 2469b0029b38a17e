"""A byte-level BPE vocabulary of real text and JSON, as large as that of small real models."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SIZE = 32_768


def pieces(data: Path) -> list[bytes]:
    """Train the vocabulary on the data's text; return its tokens of more than one byte."""
    bpe = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = level
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, initial_alphabet=level.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(_texts(data), trainer)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table |= {chr(256 + index): byte for index, byte in enumerate(others)}
    found = {bytes(table[char] for char in token) for token in bpe.get_vocab()}
    return sorted(piece for piece in found if len(piece) > 1)


def _texts(data: Path) -> Iterator[str]:
    for name in ("scifact", "squad_dev", "cookbook_code", "anthropic_docs"):
        for path in (data / "beir" / name).glob("corpus.jsonl*"):
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
                yield from (json.loads(line)["text"] for line in lines)
    with gzip.open(data / "json_schemas/Github_easy.jsonl.gz", "rt") as lines:
        yield from lines
