"""What every chunker promises, over texts of many scripts."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit import ConfigError, Document
from ragkit.core.protocols import Chunker
from ragkit.core.settings import IngestSettings, Settings
from ragkit.ingest.build import build_chunker, build_registry
from ragkit.ingest.chunkers.by_extension import ChunkerByExtension
from ragkit.ingest.chunkers.fixed import FixedChunker
from ragkit.ingest.chunkers.parent_child import ParentChildChunker
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.chunkers.semantic import SemanticChunker
from ragkit.ingest.chunkers.sentence_window import SentenceWindowChunker
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.testing.embedder import HashEmbedder, WordTokenizer

CHUNKERS: Mapping[str, Callable[[int], Chunker]] = {
    "recursive": lambda size: RecursiveChunker(WordTokenizer(), chunk_tokens=size),
    "fixed": lambda size: FixedChunker(WordTokenizer(), chunk_tokens=size),
    "fixed with overlap": lambda size: FixedChunker(
        WordTokenizer(), chunk_tokens=size, overlap_tokens=size // 2
    ),
    "sentence-window": lambda size: SentenceWindowChunker(WordTokenizer(), chunk_tokens=size),
    "semantic": lambda size: SemanticChunker(HashEmbedder(), chunk_tokens=size),
    "parent-child": lambda size: ParentChildChunker(WordTokenizer(), chunk_tokens=size),
}
_TEXTS = st.lists(
    st.sampled_from(
        [
            "# Heading",
            "## Sub",
            "One. Two three. Four!",
            "- a\n- b",
            "word " * 60,
            "| a | b |\n| --- | --- |\n| 1 | 2 |",
            "```\ncode\n```",
            "今天天气很好。我们去公园吧！" * 3,
            "ไปเที่ยวทะเลกับเพื่อน เมื่อวานนี้ " * 4,
            "यह पहला वाक्य है। यह दूसरा है॥",
            "هل هذا سؤال؟ نعم.",
            "",
            "\n\n",
        ]
    )
    | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40),
    max_size=12,
).map("\n\n".join)


def loaded(text: str) -> Document:
    if not text.strip() or text.startswith("---"):
        return Document(uri="u", title="T", text=text, content_hash="h")
    return MarkdownLoader().load(text.encode(), uri="u.md")


def count(text: str) -> int:
    """Tokens as chunkers count them: those that are not known have one for each four characters."""
    words = re.findall(r"\S+", text)
    return sum(-(-len(word) // 4) if len(word) > 16 and not word.isascii() else 1 for word in words)


@pytest.mark.parametrize("name", CHUNKERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_TEXTS, size=st.integers(4, 40))
def test_spans_are_exact_leave_no_gap_and_none_is_too_long(name: str, text: str, size: int) -> None:
    document = loaded(text)
    chunks = CHUNKERS[name](size).chunk(document)
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert count(chunk.text) <= size
    edges = [(chunk.start, chunk.end) for chunk in chunks]
    assert all(a < c and b < d and c <= b for (a, b), (c, d) in pairwise(edges))
    assert edges[0][0] == 0 if edges else not document.text
    assert edges[-1][1] == len(document.text) if edges else True
    if "overlap" not in name:
        assert "".join(chunk.text for chunk in chunks) == document.text
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@pytest.mark.parametrize("name", CHUNKERS)
def test_headings_above_a_chunk_are_known(name: str) -> None:
    text = "# Mammals\n\n## Wolves\n\n" + "They hunt in packs every night. " * 12
    chunks = CHUNKERS[name](20).chunk(loaded(text))
    assert chunks[-1].heading_path == ("Mammals", "Wolves")


@pytest.mark.parametrize("name", CHUNKERS)
def test_the_identity_holds_the_size_and_every_chunker_has_its_own(name: str) -> None:
    assert CHUNKERS[name](20).identity != CHUNKERS[name](24).identity
    assert len({make(20).identity for make in CHUNKERS.values()}) == len(CHUNKERS)


@pytest.mark.parametrize("name", CHUNKERS)
def test_a_size_that_does_not_fit_the_model_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.chunk_tokens is 300"):
        CHUNKERS[name](300)


def test_fixed_chunks_are_full_and_repeat_words() -> None:
    text = " ".join(f"w{n}" for n in range(50))
    chunks = FixedChunker(WordTokenizer(), chunk_tokens=20, overlap_tokens=5).chunk(loaded(text))
    assert [len(chunk.text.split()) for chunk in chunks] == [20, 20, 20]
    assert [chunk.text.split()[0] for chunk in chunks] == ["w0", "w15", "w30"]


def test_a_sentence_is_read_with_three_on_each_side() -> None:
    names = ("alpha", "bravo", "delta", "gamma", "omega", "sigma", "theta", "kappa", "zeta")
    text = " ".join(
        f"The letter {name} stands at one of many places in this very long list." for name in names
    )
    chunks = SentenceWindowChunker(WordTokenizer(), chunk_tokens=40).chunk(loaded(text))
    assert [chunk.text.split()[2] for chunk in chunks] == list(names)
    assert [chunk.window for chunk in chunks][:2] == [(0, 3), (0, 4)]
    assert chunks[4].window == (1, 7)
    assert chunks[-1].window == (5, 8)


def test_children_are_read_with_their_parent() -> None:
    parts = [f"## Part {n}\n\n" + f"Word{n} is here again now. " * 30 for n in range(3)]
    chunks = ParentChildChunker(WordTokenizer(), chunk_tokens=40).chunk(loaded("\n\n".join(parts)))
    windows = [chunk.window for chunk in chunks]
    assert len(chunks) > 9
    for ordinal, window in enumerate(windows):
        assert window is not None
        assert window[0] <= ordinal <= window[1]
        parent = "".join(chunk.text for chunk in chunks[window[0] : window[1] + 1])
        assert count(parent) <= 160
        assert len(set(re.findall(r"Word\d", parent))) == 1
    assert windows == sorted(windows, key=lambda window: window or (0, 0))


def test_semantic_chunks_end_where_the_subject_changes() -> None:
    wolves = "The wolf pack hunts wolf prey in the wolf forest. " * 4
    stocks = "Stock markets price stock shares at stock exchanges. " * 5
    chunker = SemanticChunker(HashEmbedder(dimensions=256), chunk_tokens=60)
    chunks = chunker.chunk(loaded(wolves + stocks))
    assert [chunk.text for chunk in chunks] == [wolves, stocks]


def test_a_chunker_is_chosen_by_name_and_by_extension() -> None:
    config = IngestSettings(chunker="parent-child", chunk_tokens=40, chunkers={".py": "fixed"})
    chunker = build_chunker(Settings(ingest=config), WordTokenizer())
    assert isinstance(chunker, ChunkerByExtension)
    text = "word " * 100
    windows = {
        uri: [
            chunk.window
            for chunk in chunker.chunk(Document(uri=uri, title="", text=text, content_hash="h"))
        ]
        for uri in ("a.md", "b/c.PY", "https://x.org/d.py?raw=1")
    }
    assert windows["a.md"][0] == (0, 2)
    assert windows["b/c.PY"] == windows["https://x.org/d.py?raw=1"] == [None] * 3
    assert "fixed-2" in chunker.identity
    assert "parent-child-2" in chunker.identity


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (IngestSettings(chunker="semantic"), "'semantic' needs an embedder"),
        (IngestSettings(chunker="parent-child", overlap_tokens=5), "has no overlap.*fixed"),
        *(
            (
                IngestSettings(chunkers={name: "fixed"}),
                rf"ingest\.chunkers has {re.escape(repr(name))}.* '\.py'",
            )
            for name in ("py", "", ".PY", ".tar.gz", "*.py")
        ),
    ],
)
def test_choices_that_cannot_work_are_refused(config: IngestSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_chunker(Settings(ingest=config), WordTokenizer())


@pytest.mark.parametrize("name", sorted(CHUNKERS))
def test_a_passage_within_a_table_has_the_names_of_its_columns_above_it(name: str) -> None:
    rows = "".join(f"| row {n} | {'lamp ' * (n % 4 + 1)}| {n} |\n" for n in range(30))
    text = f"# Sizes\n\n| Name | What | Size |\n| --- | --- | --- |\n{rows}\nAn end.\n"
    document = MarkdownLoader().load(text.encode(), uri="u.md")
    chunks = CHUNKERS[name](40).chunk(document)
    first = text.index("| row 0")
    within = [one for one in chunks if first <= one.start < text.index("An end")]
    assert len(within) > 3
    assert {one.context for one in within} == {"Sizes\nColumns: | Name | What | Size |"}
    assert {one.context for one in chunks if one not in within} <= {None, within[0].context}
    assert chunks[0].context is None
    assert all(one.text == text[one.start : one.end] for one in chunks)


@pytest.mark.parametrize(
    ("uri", "text", "context"),
    [
        ("u.adoc", "= T\n\n|===\n|a |b\n\n{rows}|===\n", "T\nColumns: |a |b"),
        ("u.adoc", "= T\n\n|===\n{rows}|===\n", None),
        ("u.rst", "T\n=\n\n+---+---+\n| a | b |\n+===+===+\n{rows}", "u\nColumns: | a | b |"),
        ("u.rst", "T\n=\n\n+---+---+\n{rows}", None),
        ("u.csv", "a,b\n{rows}", "u\nColumns: a | b"),
    ],
)
def test_only_the_head_of_a_table_stands_above_its_parts(
    uri: str, text: str, context: str | None
) -> None:
    row = {"u.adoc": "|x{0} |{0}\n", "u.rst": "| x | y |\n+---+---+\n", "u.csv": "x{0},{0}\n"}[uri]
    data = text.format(rows="".join(row.format(n) for n in range(60))).encode()
    loader = build_registry(IngestSettings()).loader(data, uri)
    chunks = RecursiveChunker(WordTokenizer(), chunk_tokens=40).chunk(loader.load(data, uri=uri))
    assert len(chunks) > 3
    assert [chunk.context for chunk in chunks[1:-1]] == [context] * (len(chunks) - 2)
