import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit.grammar.random_decoding import RandomDecoder

DATA = Path(__file__).parents[2] / "../shared/data"
SIZE = 32_768


@pytest.fixture(scope="session")
def decoder() -> RandomDecoder:
    """One vocabulary for all, so that xgrammar computes shared token masks once."""
    return RandomDecoder()


@pytest.fixture(scope="session")
def real_decoder() -> RandomDecoder:
    """A byte-level BPE of real text and JSON, with the number of tokens of small real models."""
    if not (DATA / "beir/scifact").is_dir():
        pytest.skip(f"no text to train a tokenizer on at {DATA}")
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = level  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, initial_alphabet=level.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(_texts(), trainer)
    to_bytes = _bytes_of_characters()
    pieces = (bytes(to_bytes[char] for char in token) for token in bpe.get_vocab())
    found = RandomDecoder(sorted(piece for piece in pieces if len(piece) > 1))
    assert len(found.vocabulary) >= SIZE
    return found


def _texts() -> Iterator[str]:
    for name in ("scifact", "squad_dev", "cookbook_code", "anthropic_docs"):
        for path in (DATA / "beir" / name).glob("corpus.jsonl*"):
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
                yield from (json.loads(line)["text"] for line in lines)
    with gzip.open(DATA / "json_schemas/Github_easy.jsonl.gz", "rt") as lines:
        yield from lines


def _bytes_of_characters() -> dict[str, int]:
    """The inverse of GPT-2's table, in which each byte is a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}
