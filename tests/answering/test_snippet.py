import pickle
from dataclasses import replace

import pytest

from ragkit import AsyncRAG
from ragkit.answering.abstention import ABSTENTION
from ragkit.answering.snippet import UNDECIDED, SnippetAnswerer
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer, Chunk, Hit
from ragkit.models.cross_encoder import packaged_cross_encoder

TIMEOUTS = """# Timeouts

HTTPX is careful to enforce [timeouts](advanced/timeouts.md) everywhere by default. The **default
timeout** is 5 seconds of network inactivity. It can be raised for slow servers.
"""
CORS = """## CORS { #cors }

Browsers refuse **cross-origin** requests unless a server allows them.

Add the middleware to allow cross-origin requests:

```python
app.add_middleware(CORSMiddleware, allow_origins=["*"])
```

Then restart the [server](deploy.md).
"""


def _hit(text: str, *, uri: str = "doc.md", title: str = "Manual", start: int = 0) -> Hit:
    chunk = Chunk(
        id=f"{uri}:{start}", uri=uri, title=title, text=text, start=start, end=start + len(text)
    )
    return Hit(chunk=chunk, score=1.0, trace={})


def _answerer(minilm: Embedder, *, threshold: float = 0.0, max_quotes: int = 3) -> SnippetAnswerer:
    settings = AnswerSettings(threshold=threshold, max_quotes=max_quotes)
    return SnippetAnswerer(packaged_cross_encoder(), minilm, settings=settings)


def _check_citations(answer: Answer, *hits: Hit) -> None:
    chunks = {hit.chunk.id: hit.chunk for hit in hits}
    assert answer.citations
    for one in answer.citations:
        chunk = chunks[one.chunk_id]
        assert chunk.text[one.start - chunk.start : one.end - chunk.start] == one.quote


async def test_a_fact_is_a_whole_sentence_with_its_span_marked(minilm: Embedder) -> None:
    hit = _hit(TIMEOUTS, start=100)
    answer = await _answerer(minilm).answer("What is the default timeout?", [hit])
    assert answer.text == "The default timeout is 5 seconds of network inactivity."
    assert answer.span is not None
    assert answer.text[answer.span.start : answer.span.end] == answer.span.text
    assert "5 seconds" in answer.span.text
    assert answer.citations[0].quote.startswith("The **default\ntimeout**")
    _check_citations(answer, hit)


async def test_words_of_the_question_are_not_marked_as_its_answer(minilm: Embedder) -> None:
    hit = _hit("Provides the platform-specific path delimiter:\n\n- ; on Windows\n- : on POSIX")
    answer = await _answerer(minilm).answer("What is the platform-specific path delimiter?", [hit])
    assert answer.text == (
        "Provides the platform-specific path delimiter:\n• ; on Windows\n• : on POSIX"
    )
    assert answer.span is None or "delimiter" not in answer.span.text


async def test_instructions_come_with_their_heading_and_code(minilm: Embedder) -> None:
    hit = _hit(CORS)
    answer = await _answerer(minilm).answer("How do I allow cross-origin requests?", [hit])
    assert answer.text.startswith("CORS\n")
    assert 'app.add_middleware(CORSMiddleware, allow_origins=["*"])' in answer.text
    assert not any(mark in answer.text for mark in ("```", "**", "{ #", "]("))
    assert answer.span is None
    _check_citations(answer, hit)


async def test_yes_or_no_is_answered_by_a_sentence_without_a_span(minilm: Embedder) -> None:
    hit = _hit("HTTPX will **not** follow redirects by default. Pass `follow_redirects=True`.")
    answer = await _answerer(minilm).answer("Does it follow redirects by default?", [hit])
    assert answer.text == "HTTPX will not follow redirects by default."
    assert answer.span is None


async def test_a_list_is_answered_by_its_items(minilm: Embedder) -> None:
    text = (
        "Cats sleep.\n\nThe supported formats are:\n\n- PDF\n- **HTML**\n- Markdown\n\nDogs bark."
    )
    answer = await _answerer(minilm).answer("Which formats are supported?", [_hit(text)])
    assert answer.text == "Manual\nThe supported formats are:\n• PDF\n• HTML\n• Markdown"


async def test_code_in_the_next_hit_is_read_on_into(minilm: Embedder) -> None:
    lead = (
        "## Allow cross-origin requests\n\nTo allow cross-origin requests, add the middleware:\n\n"
    )
    one = _hit(lead)
    two = _hit("```python\nadd_middleware(CORS)\n```\n", start=len(lead))
    path = ("Allow cross-origin requests",)
    two = replace(two, chunk=replace(two.chunk, heading_path=path))
    answer = await _answerer(minilm).answer("How do I allow cross-origin requests?", [one, two])
    assert "add_middleware(CORS)" in answer.text
    assert [citation.chunk_id for citation in answer.citations] == [one.chunk.id, two.chunk.id]
    _check_citations(answer, one, two)


async def test_passages_that_give_the_same_short_answer_are_cited_too(minilm: Embedder) -> None:
    hits = [_hit(TIMEOUTS, uri="a.md"), _hit(TIMEOUTS, uri="b.md"), _hit("Cats sleep.", uri="c")]
    answer = await _answerer(minilm).answer("What is the default timeout?", hits)
    assert {citation.uri for citation in answer.citations} == {"a.md", "b.md"}
    once = await _answerer(minilm, max_quotes=1).answer("What is the default timeout?", hits)
    assert len(once.citations) == 1


async def test_documents_that_contradict_each_other_are_told_apart(minilm: Embedder) -> None:
    old = _hit("Refunds are paid within 5 days.", uri="old.md", title="Policy 2021")
    new = _hit("Refunds are paid within 14 days.", uri="new.md", title="Policy 2024")
    answer = await _answerer(minilm).answer("Within how many days are refunds paid?", [old, new])
    assert answer.text == (
        "Refunds are paid within 14 days. (Policy 2024)\n"
        "Refunds are paid within 5 days. (Policy 2021)"
    )
    assert [citation.uri for citation in answer.citations] == ["new.md", "old.md"]
    assert answer.span is not None
    assert "14" in answer.span.text


async def test_a_contradiction_without_dates_is_never_sure(minilm: Embedder) -> None:
    one = _hit("Refunds are paid within 5 days.", uri="one.md", title="Policy")
    two = _hit("Refunds are paid within 14 days.", uri="two.md", title="Terms")
    answer = await _answerer(minilm).answer("Within how many days are refunds paid?", [one, two])
    assert len(answer.citations) == 2
    assert answer.confidence <= UNDECIDED


@pytest.mark.parametrize("texts", [[], [""], ["Cats sleep a lot."]])
async def test_what_no_passage_answers_is_not_answered(minilm: Embedder, texts: list[str]) -> None:
    answerer = _answerer(minilm, threshold=0.5)
    answer = await answerer.answer("Who won the chess final of 1972?", [_hit(t) for t in texts])
    assert (answer.text, answer.citations, answer.span) == (ABSTENTION, (), None)
    assert answer.abstained
    assert answer.confidence < 0.5


async def test_the_question_itself_is_no_answer_but_what_follows_it(minilm: Embedder) -> None:
    faq = _hit(
        "How long do refunds take? They take five days. How long is a year? It has 365 days."
    )
    answer = await _answerer(minilm).answer("How long do refunds take?", [faq])
    assert answer.text == "They take five days."


async def test_an_answer_goes_on_in_chunks_that_were_not_found(minilm: Embedder) -> None:
    text = CORS.replace("Then restart", "Further text about nothing. " * 60 + "Then restart")
    async with AsyncRAG(index=":memory:", embedder=minilm, chunker="recursive:30") as rag:
        await rag.ingest(("cors.md", text))
        hits = await rag.search("How do I allow cross-origin requests?", k=1)
        assert "app.add_middleware" not in hits[0].chunk.text
        answer = await _answerer(minilm).answer("How do I allow cross-origin requests?", hits)
        assert 'app.add_middleware(CORSMiddleware, allow_origins=["*"])' in answer.text
        assert [hit.chunk.id for hit in answer.hits] == [hits[0].chunk.id]
        for one in answer.citations:
            assert text[one.start : one.end] == one.quote
        copy = pickle.loads(pickle.dumps(hits))
        assert (copy, copy.surroundings) == (hits, None)
        alone = await _answerer(minilm).answer("How do I allow cross-origin requests?", copy)
        assert "app.add_middleware" not in alone.text


async def test_both_sides_of_a_comparison_are_shown(minilm: Embedder) -> None:
    tilde = _hit("## Tilde ranges\n\nAllows patch-level changes.\n", uri="t.md")
    caret = _hit("## Caret ranges\n\nAllows changes of the minor version.\n", uri="c.md")
    question = "What is the difference between tilde and caret ranges?"
    answer = await _answerer(minilm).answer(question, [caret, tilde])
    assert answer.text == (
        "Tilde ranges\nAllows patch-level changes.\n"
        "Caret ranges\nAllows changes of the minor version."
    )
    assert [one.uri for one in answer.citations] == ["t.md", "c.md"]
    _check_citations(answer, tilde, caret)


async def test_a_span_without_the_number_that_is_asked_for_is_not_marked(minilm: Embedder) -> None:
    hit = _hit(
        "| Parameter | Default |\n| --- | --- |\n| ping interval of keep-alive pings | 15 |\n"
    )
    answer = await _answerer(minilm).answer("How often are pings sent by default?", [hit])
    assert "15" in answer.text
    assert answer.span is None or "15" in answer.span.text


async def test_a_number_that_is_missing_lowers_the_confidence(minilm: Embedder) -> None:
    question = "How many retries are made?"
    sure = await _answerer(minilm).answer(question, [_hit("The number of retries made is 5.")])
    unsure = await _answerer(minilm).answer(question, [_hit("The number of retries made is set.")])
    assert unsure.confidence < sure.confidence


YEARS = """In 1884 she opened a shop in Leeds. She sold lamps and clocks there. In the same
year, she patented a safety lamp. She moved to York in 1890."""


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What did she patent in 1884?", "In the same year, she patented a safety lamp."),
        (
            "When did she patent the safety lamp?",
            "In 1884 she opened a shop in Leeds. She sold lamps and clocks there. In the same "
            "year, she patented a safety lamp.",
        ),
    ],
)
async def test_the_same_year_is_the_one_named_before(
    minilm: Embedder, question: str, text: str
) -> None:
    hit = _hit(YEARS)
    answer = await _answerer(minilm).answer(question, [hit])
    assert answer.text == text
    assert answer.span is None or "same" not in answer.span.text
    _check_citations(answer, hit)


async def test_a_row_of_a_sheet_answers_with_the_names_of_its_columns(minilm: Embedder) -> None:
    hit = _hit("Item | Price\nValve C | 12.5\nValve D | 19", uri="prices.xlsx", title="Prices")
    answer = await _answerer(minilm).answer("What is the price of Valve D?", [hit])
    assert answer.text == "Item: Valve D; Price: 19"
    assert answer.citations[0].quote == "Valve D | 19"


FAQ = """# FAQ

**Can I run it on Windows?**
No. Use WSL 2.

**Is there a managed service?**
Not yet. We plan one for 2030.

**Is there a student discount?** No.

**Can I pause my plan?**

Yes, for up to three months.
"""


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Can I run it on Windows?", "No. Use WSL 2."),
        ("Does it run on Windows?", "Can I run it on Windows?\nNo. Use WSL 2."),
        ("Is there a managed service?", "Not yet. We plan one for 2030."),
        ("Can students get a discount?", "Is there a student discount?\nNo."),
        ("How long can I pause my plan?", "Yes, for up to three months."),
    ],
)
async def test_a_question_of_the_documents_is_answered_and_not_repeated(
    minilm: Embedder, question: str, text: str
) -> None:
    hit = _hit(FAQ, uri="faq.md", title="FAQ")
    answer = await _answerer(minilm, threshold=0.5).answer(question, [hit])
    assert (answer.text, answer.abstained) == (text, False)
    _check_citations(answer, hit)
    other = await _answerer(minilm, threshold=0.5).answer("Does SSO cost extra?", [hit])
    assert other.abstained


async def test_the_short_answer_in_a_row_is_in_one_cell(minilm: Embedder) -> None:
    rows = "".join(f"| opt_{n} | int | {n * 11 + 3} | Lamps of hall {n}. |\n" for n in range(5))
    hit = _hit(f"# Options\n\n| Option | Type | Default | Meaning |\n| - | - | - | - |\n{rows}")
    answer = await _answerer(minilm).answer("What is the default of opt_3?", [hit])
    assert answer.text == "Option: opt_3; Type: int; Default: 36; Meaning: Lamps of hall 3."
    assert answer.span is not None
    assert answer.span.text == "36"


async def test_a_comparison_shows_a_passage_once(minilm: Embedder) -> None:
    hit = _hit("# Plans\n\nThe free plan is for one person. The team plan adds shared folders.\n")
    question = "What is the difference between the free plan and the team plan?"
    answer = await _answerer(minilm).answer(question, [hit])
    assert answer.text.count("The free plan is for one person.") == 1
    assert answer.text.count("The team plan adds shared folders.") == 1
    assert len(answer.citations) == 1
