import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import RAG, AsyncRAG, ConfigError, InputError, Settings
from ragkit.core.protocols import LLM, Embedder
from ragkit.core.settings import AnswerSettings, IndexSettings, LLMSettings, RetrievalSettings
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("docs/river.md").write_text("# Rivers\n\nThe longest river of Europe is the Volga.")


def test_the_three_lines_of_the_readme() -> None:
    rag = RAG()
    rag.ingest("docs")
    assert "Volga" in str(rag.ask("What is the longest river of Europe?"))
    rag.close()


async def test_the_same_with_await() -> None:
    async with AsyncRAG() as rag:
        await rag.ingest("docs")
        answer = await rag.ask("What is the longest river of Europe?")
    assert "Volga" in answer.text


async def test_the_synchronous_face_works_inside_a_running_loop() -> None:
    with RAG(index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        assert rag.search("river")[0].chunk.uri == "docs/river.md"


def test_threads_share_one_object() -> None:
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        found: list[str] = []

        def search() -> None:
            found.append(rag.search("river")[0].chunk.uri)

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["docs/river.md"] * 8


def test_an_index_is_found_again_by_a_new_object() -> None:
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
    with RAG(embedder=HashEmbedder(dimensions=64)) as rag:
        assert [item.uri for item in rag.documents()] == ["docs/river.md"]
        assert rag.verify() == []


async def test_concurrent_first_uses_open_the_index_once() -> None:
    async with AsyncRAG(embedder=HashEmbedder(dimensions=64)) as rag:
        await rag.ingest("docs")
    async with AsyncRAG(embedder=HashEmbedder(dimensions=64)) as rag:
        results = await asyncio.gather(*(rag.search("river") for _ in range(5)))
    assert all(len(hits) == 1 for hits in results)


def test_a_context_stays_within_its_budget(minilm: Embedder) -> None:
    Path("docs/long.md").write_text("# Long\n\n" + "Rivers flow to the sea. " * 200)
    settings = Settings(retrieval=RetrievalSettings(context_tokens=500))
    with RAG(settings, index=":memory:", embedder=minilm) as rag:
        rag.ingest("docs")
        passages = rag.context("rivers")
    tokens = [len(minilm.tokenizer.token_starts(passage.text)) for passage in passages]
    assert 200 < sum(tokens) <= 500


VOLGA = (
    '{"quotes":[{"passage":"1","quote":"The longest river of Europe is the Volga."}],'
    '"sufficient":true,"answer":"It is the Volga.","citations":["1"]}'
)
GENERATIVE = Settings(answer=AnswerSettings(mode="generative"))


async def test_a_language_model_answers_where_the_settings_say_so() -> None:
    llm = ScriptedLLM([VOLGA])
    async with AsyncRAG(GENERATIVE, embedder=HashEmbedder(dimensions=64), llm=llm) as rag:
        await rag.ingest("docs")
        answer = await rag.ask("What is the longest river of Europe?")
    assert answer.text == "It is the Volga."
    assert answer.citations[0].quote == "The longest river of Europe is the Volga."
    assert answer.citations[0].uri == "docs/river.md"


async def test_an_answer_can_be_read_while_it_is_written() -> None:
    llm = ScriptedLLM([VOLGA])
    async with AsyncRAG(GENERATIVE, embedder=HashEmbedder(dimensions=64), llm=llm) as rag:
        await rag.ingest("docs")
        deltas = [delta async for delta in rag.ask_stream("What is the longest river?")]
    assert len(deltas) > 2
    assert "".join(delta.text for delta in deltas) == "It is the Volga."
    assert deltas[-1].answer is not None


async def test_an_extractive_answer_comes_whole_at_the_end_of_its_stream(minilm: Embedder) -> None:
    async with AsyncRAG(embedder=minilm, llm=ScriptedLLM([])) as rag:
        await rag.ingest("docs")
        (delta,) = [delta async for delta in rag.ask_stream("What is the longest river of Europe?")]
    assert delta.text == ""
    assert delta.answer is not None
    assert "Volga" in delta.answer.text


def test_a_query_is_transformed_where_the_settings_say_so() -> None:
    llm = ScriptedLLM(['{"passages":["The Volga is long."]}'])
    settings = Settings(retrieval=RetrievalSettings(transform="hyde"))
    with RAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm) as rag:
        rag.ingest("docs")
        hits = rag.search("river", explain=True)
    assert hits.explanation is not None
    assert hits.explanation.transformations[0].written == ("The Volga is long.",)


def test_what_needs_a_language_model_says_which_setting_is_missing() -> None:
    transform = Settings(retrieval=RetrievalSettings(transform="multi_query"))
    with RAG(transform, index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        with pytest.raises(ConfigError, match=r"'multi_query'.*set llm\.model"):
            rag.search("river")
    with RAG(GENERATIVE, index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs")
        with pytest.raises(ConfigError, match=r"'generative'.*set llm\.model"):
            rag.ask("river")


async def test_a_given_language_model_stays_open_and_an_own_one_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closing(ScriptedLLM):
        closed = False

        async def close(self) -> None:
            self.closed = True

    given, own = Closing([]), Closing([])

    def opened(_: LLMSettings) -> LLM:
        return own

    monkeypatch.setattr("ragkit.llm.build.build_llm", opened)
    settings = Settings(llm=LLMSettings(model="local:somewhere"))
    async with AsyncRAG(settings, llm=given) as rag:
        assert rag.llm is given
    async with AsyncRAG(settings) as rag:
        assert rag.llm is own
    assert (given.closed, own.closed) == (False, True)


def test_settings_are_taken_as_given() -> None:
    with RAG(Settings(tenant="mine"), index=":memory:", embedder=HashEmbedder()) as rag:
        rag.ingest("docs")
        assert rag.documents()[0].tenant == "mine"


VOLGA_AND_ALPS = {
    "volga": "The longest river of Europe is the Volga.",
    "alps": "The highest mountain of the Alps is Mont Blanc.",
}


@pytest.fixture(name="small")
def _small() -> Iterator[RAG]:
    with RAG(index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest(VOLGA_AND_ALPS.items())
        yield rag


def test_deleting_takes_one_uri_or_several_and_returns_their_number(small: RAG) -> None:
    assert small.delete("nothing/like/this") == 0
    assert small.delete("volga") == 1
    assert [record.uri for record in small.documents()] == ["alps"]
    small.ingest(VOLGA_AND_ALPS.items())
    assert small.delete(["alps", "volga", "unknown"]) == 2
    assert small.documents() == []


def test_documents_are_found_by_their_uris(small: RAG) -> None:
    (first, *_) = small.documents()
    assert small.documents([first.uri, "unknown"]) == [first]
    assert small.documents([]) == []


@pytest.mark.parametrize("uris", [None, 5, [None], ["a", 5], [["a"]]])
def test_only_uris_are_deleted(small: RAG, uris: Any) -> None:
    with pytest.raises(InputError, match=r"is no uri\. Fix: "):
        small.delete(uris)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "Nothing was given to ingest"),
        ([""], r"The path is ''\. Fix: "),
        ([["docs", ""]], r"The path is ''\. Fix: "),
        ([None], r"None cannot be ingested\. Fix: "),
        ([5], r"5 cannot be ingested\. Fix: "),
        ([b"docs"], r"b'docs' cannot be ingested\. Fix: "),
    ],
)
def test_what_is_no_source_is_refused(items: list[Any], message: str) -> None:
    rag = RAG(Settings(), index=":memory:", embedder=HashEmbedder(dimensions=64))
    with pytest.raises(InputError, match=message):
        rag.ingest(*items)


def test_an_empty_tenant_is_no_name_for_the_default_one(small: RAG) -> None:
    for call in (small.documents, small.stats):
        with pytest.raises(InputError, match="tenant '' is no name"):
            call(tenant="")
    with pytest.raises(InputError, match="tenant '' is no name"):
        small.delete("volga", tenant="")
    with pytest.raises(InputError, match="tenant '' is no name"):
        small.search("river", tenant="")
    with pytest.raises(InputError, match="tenant '' is no name"):
        small.ingest(("x", "text"), tenant="")
    assert len(small.documents()) == 2


def test_the_statistics_count_a_tenants_documents_and_chunks(small: RAG) -> None:
    small.ingest(("secret", "A secret river."), tenant="other")
    stats = small.stats()
    assert (stats.tenant, stats.documents, stats.chunks) == ("default", 2, 2)
    assert (stats.location, stats.identity.dimensions) == (":memory:", 64)
    assert small.stats(tenant="other").documents == 1
    assert "uri" in stats.fields


def test_the_chunks_of_a_document_come_in_reading_order(small: RAG) -> None:
    text = "\n\n".join(f"Paragraph {number} is about a river." for number in range(200))
    small.ingest(("long", text))
    chunks = small.chunks("long")
    assert len(chunks) > 2
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert "".join(chunk.text for chunk in chunks) == text
    assert small.chunks("unknown") == []
    assert small.chunks("long", tenant="other") == []


def test_an_answer_is_streamed_without_await() -> None:
    llm = ScriptedLLM([VOLGA])
    with RAG(GENERATIVE, index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm) as rag:
        rag.ingest(VOLGA_AND_ALPS.items())
        deltas = list(rag.ask_stream("What is the longest river?"))
    assert len(deltas) > 2
    assert "".join(delta.text for delta in deltas) == "It is the Volga."
    assert deltas[-1].answer is not None


def test_a_citation_carries_title_headings_page_and_metadata() -> None:
    settings = Settings(
        index=IndexSettings(fields={"year": "integer"}),
        answer=AnswerSettings(mode="extractive", threshold=0.0),
    )
    with RAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest("docs", metadata={"year": 2020})
        answer = rag.ask("longest river", where={"year": 2020})
        passage = rag.context("longest river", where={"year": 2020})[0]
    citation = answer.citations[0]
    assert (citation.uri, citation.title, citation.page) == ("docs/river.md", "Rivers", None)
    assert citation.heading_path == ("Rivers",)
    assert citation.metadata["year"] == 2020
    assert (passage.heading_path, passage.metadata["year"]) == (("Rivers",), 2020)
