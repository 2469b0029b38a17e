import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from ragkit import AsyncRAG, ConfigError, Document, InputError, ProviderError, Settings
from ragkit.core.protocols import LLM, Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import FloatArray, TransformName, Usage
from ragkit.llm import VLLM
from ragkit.retrieval.build import build_transform
from ragkit.retrieval.feedback import NOTHING_FOUND, Feedback
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.query import Query
from ragkit.retrieval.query_expansion import NOTHING_WRITTEN, HyDE, SubQueries, SubQueryKind
from ragkit.retrieval.query_transform import NO_DENSE_LEG
from ragkit.retrieval.request import BOTH, Leg
from ragkit.retrieval.results import Hits
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedCall, ScriptedLLM, random_replies
from ragkit.testing.vllm_server import VLLMServer

TEXTS = {
    "zebra": "The zebra has black and white stripes.",
    "horse": "A horse gallops over the green field.",
    "copy": "The zebra has black and   white stripes.",
    "lion": "The lion sleeps under a tree at noon.",
    "equids": "Equids are hoofed mammals of the plains.",
    "tax": "Income above the limit is taxed.",
}
EMBEDDER = HashEmbedder(dimensions=256)
BY_LLM: tuple[TransformName, ...] = ("multi_query", "step_back", "decompose", "hyde")
SUB_QUERIES: tuple[SubQueryKind, ...] = ("multi_query", "step_back", "decompose")


class _Counting:
    """A reranker that likes short passages, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        self.asked.append((query, len(passages)))
        return np.array([-len(passage) for passage in passages], dtype=np.float32)


@pytest.fixture
async def rag() -> AsyncRAG:
    rag = AsyncRAG(Settings(), index=":memory:", embedder=EMBEDDER)
    await rag.ingest(
        *(Document(uri=uri, title=uri, text=text, content_hash=uri) for uri, text in TEXTS.items())
    )
    return rag


async def _hybrid(
    rag: AsyncRAG, *, reranker: Reranker | None = None, settings: RetrievalSettings | None = None
) -> HybridRetriever:
    return HybridRetriever(
        index=await rag.index(),
        embedder=EMBEDDER,
        reranker=reranker,
        settings=settings or RetrievalSettings(),
    )


def _writes(*texts: str) -> ScriptedLLM:
    """A model that writes these texts in the field that it is asked for."""

    def reply(call: ScriptedCall) -> str:
        system = call.messages[0].content
        names = ("queries", "questions", "passages")
        field = next(name for name in names if f'{{"{name}":' in system)
        return json.dumps({field: list(texts)}, separators=(",", ":"), ensure_ascii=False)

    return ScriptedLLM(reply)


def _uris(hits: Hits) -> list[str]:
    return [hit.chunk.uri for hit in hits]


@pytest.mark.parametrize("kind", SUB_QUERIES)
async def test_what_a_model_writes_is_searched_for_beside_the_question(
    rag: AsyncRAG, kind: SubQueryKind
) -> None:
    base = await _hybrid(rag)
    retriever = SubQueries(inner=base, kind=kind, llm=_writes("hoofed mammals"))
    assert "equids" not in _uris(await base.search("horse gallops", k=1, legs=["bm25"]))
    hits = await retriever.search("horse gallops", k=2, legs=["bm25"])
    assert set(_uris(hits)) == {"horse", "equids"}
    assert [hit.trace[kind].rank for hit in hits] == [1, 2]
    assert {*hits[0].trace} == {"bm25", kind}


async def test_chunks_of_all_queries_are_fused_by_reciprocal_ranks(rag: AsyncRAG) -> None:
    llm = _writes("lion tree", "zebra stripes")
    retriever = SubQueries(inner=await _hybrid(rag), kind="multi_query", llm=llm)
    hits = await retriever.search("lion", k=3, legs=["bm25"])
    assert _uris(hits)[0] == "lion"
    # First for the question and for one of the two queries, absent for the other.
    assert hits[0].score == pytest.approx(2 / 61)
    assert hits[1].score == pytest.approx(1 / 61)
    assert hits[0].score == hits[0].trace["multi_query"].score


async def test_the_question_takes_part_and_keeps_its_stages(rag: AsyncRAG) -> None:
    retriever = SubQueries(inner=await _hybrid(rag), kind="decompose", llm=_writes("lion", "tax"))
    hits = await retriever.search("zebra stripes", explain=True)
    plain = await (await _hybrid(rag)).search("zebra stripes", explain=True)
    explanation = hits.explanation
    assert explanation is not None
    assert plain.explanation is not None
    assert explanation.query == "zebra stripes"
    assert [one.query for one in explanation.searches] == ["zebra stripes", "lion", "tax"]
    for stage in ("dense", "bm25", "fusion"):
        assert explanation.stages[stage] == plain.explanation.stages[stage]
    assert [*explanation.stages] == ["dense", "bm25", "fusion", "decompose"]
    zebra = next(hit for hit in hits if "zebra" in hit.chunk.text)
    assert [*zebra.trace] == ["dense", "bm25", "fusion", "decompose"]


async def test_the_explanation_shows_what_the_transformation_cost(rag: AsyncRAG) -> None:
    llm = _writes("hoofed mammals", "plains")
    retriever = SubQueries(inner=await _hybrid(rag), kind="multi_query", llm=llm)
    explanation = (await retriever.search("horse", explain=True)).explanation
    assert explanation is not None
    (own,) = explanation.transformations
    assert (own.name, own.calls) == ("multi_query", 1)
    assert own.written == ("hoofed mammals", "plains")
    assert own.usage.prompt == sum(len(m.content.encode()) for m in llm.calls[0].messages)
    assert own.usage.completion > len("hoofed mammals")
    assert own.seconds == explanation.seconds["multi_query"] > 0
    assert {"embed", "search", "fusion", "fetch"} <= explanation.seconds.keys()
    assert (await retriever.search("horse")).explanation is None


async def test_a_text_found_by_several_queries_is_shown_once(rag: AsyncRAG) -> None:
    llm = _writes("copy zebra stripes", "zebra white stripes")
    retriever = SubQueries(inner=await _hybrid(rag), kind="multi_query", llm=llm)
    hits = await retriever.search("zebra", k=6, explain=True)
    assert len([hit for hit in hits if "zebra" in hit.chunk.text]) == 1
    assert len(_uris(hits)) == len(set(_uris(hits))) == 5
    assert hits.explanation is not None
    shown = {hit.chunk.id for hit in hits}
    (dropped, kept) = next(iter(hits.explanation.duplicates.items()))
    assert dropped not in shown
    assert kept == hits[0].chunk.id
    # Whichever of the two a query found, it counts for the text: first for each of the three.
    assert hits[0].score == pytest.approx(3 / 61)
    settings = RetrievalSettings(drop_duplicates=False)
    both = SubQueries(inner=await _hybrid(rag, settings=settings), kind="multi_query", llm=llm)
    assert len(await both.search("zebra", k=6)) == 6


@pytest.mark.parametrize("explain", [True, False])
async def test_a_reranker_scores_once_and_by_the_question(rag: AsyncRAG, explain: bool) -> None:
    reranker = _Counting()
    inner = await _hybrid(rag, reranker=reranker)
    retriever = SubQueries(inner=inner, kind="multi_query", llm=_writes("lion", "tax"))
    hits = await retriever.search("zebra", k=2, explain=explain)
    assert reranker.asked == [("zebra", 5)]
    assert [hit.trace["rerank"].rank for hit in hits] == [1, 2]
    assert [*hits[0].trace][-2:] == ["multi_query", "rerank"]
    assert hits[0].score == hits[0].trace["rerank"].score
    if hits.explanation is not None:
        assert "rerank" in hits.explanation.stages
        assert "rerank" in hits.explanation.seconds
        assert not any("rerank" in one.stages for one in hits.explanation.searches)


async def test_wrappers_wrap_each_other_and_still_rerank_once(rag: AsyncRAG) -> None:
    reranker = _Counting()
    hyde = HyDE(
        inner=await _hybrid(rag, reranker=reranker),
        llm=_writes("Lions sleep under trees."),
        embedder=EMBEDDER,
    )
    steps = SubQueries(inner=hyde, kind="step_back", llm=_writes("what animals do"))
    feedback = Feedback(inner=steps, embedder=EMBEDDER, learn_from=1)
    hits = await feedback.search("zebra", k=6, explain=True)
    assert reranker.asked == [("zebra", 5)]
    stages = {"dense", "bm25", "fusion", "hyde", "step_back", "feedback", "rerank"}
    assert hits.explanation is not None
    assert {*hits.explanation.stages} == stages
    # The first search of the feedback is its own; each query of the second has its passage.
    names = [one.name for one in hits.explanation.transformations]
    assert names == ["feedback", "step_back", "hyde", "hyde"]


async def test_hyde_moves_the_dense_leg_and_leaves_bm25_to_the_question(rag: AsyncRAG) -> None:
    passage = "Income is taxed above a limit."
    llm = _writes(passage)
    retriever = HyDE(inner=await _hybrid(rag), llm=llm, embedder=EMBEDDER)
    question = "zebra money"
    hits = await retriever.search(question, k=6, explain=True)
    plain = await (await _hybrid(rag)).search(question, k=6, explain=True)
    assert hits.explanation is not None
    assert plain.explanation is not None
    assert hits.explanation.stages["bm25"] == plain.explanation.stages["bm25"]
    vectors = [
        (await EMBEDDER.embed([question], task="query"))[0],
        (await EMBEDDER.embed([passage], task="passage"))[0],
    ]
    mean = np.mean(vectors, axis=0)
    exact = await (await _hybrid(rag)).search(
        Query(text=question, vector=mean / np.linalg.norm(mean)), k=6, legs=["dense"]
    )
    dense = [item for item, _, _ in hits.explanation.stages["dense"]]
    assert dense[: len(exact)][0] == exact[0].chunk.id
    assert exact[0].chunk.uri == "tax"
    assert passage in hits.explanation.embedded
    assert question in hits.explanation.embedded
    assert all(math.isclose(hit.score, hit.trace["hyde"].score) for hit in hits)
    assert [hit.trace["hyde"].rank for hit in hits] == sorted(
        hit.trace["hyde"].rank for hit in hits
    )


async def test_feedback_moves_the_query_towards_what_it_found_first(rag: AsyncRAG) -> None:
    retriever = Feedback(inner=await _hybrid(rag), embedder=EMBEDDER, learn_from=1, weight=0.5)
    hits = await retriever.search("zebra", explain=True)
    first = (await (await _hybrid(rag)).search("zebra", k=1))[0].chunk
    query = (await EMBEDDER.embed(["zebra"], task="query"))[0]
    learnt = (await EMBEDDER.embed([f"{first.header}\n\n{first.text}"]))[0]
    moved = query + 0.5 * learnt
    wanted = float((moved / np.linalg.norm(moved)) @ learnt)
    assert hits.explanation is not None
    found = {item: score for item, _, score in hits.explanation.stages["dense"]}
    assert found[first.id] == pytest.approx(wanted, abs=1e-4)
    assert "moved towards its first 1 chunks" in hits.explanation.embedded
    (own,) = hits.explanation.transformations
    assert (own.calls, own.usage) == (0, Usage())
    assert own.seconds > 0


@pytest.mark.parametrize("name", ["hyde", "feedback"])
async def test_without_a_dense_leg_nothing_is_done_and_that_is_told(
    rag: AsyncRAG, name: TransformName
) -> None:
    llm = _writes("x")
    retriever = build_transform(name, await _hybrid(rag), llm=llm, embedder=EMBEDDER)
    hits = await retriever.search("zebra", legs=["bm25"], explain=True)
    assert _uris(hits) == _uris(await (await _hybrid(rag)).search("zebra", legs=["bm25"]))
    assert llm.calls == []
    assert hits.explanation is not None
    assert [one.note for one in hits.explanation.transformations] == [NO_DENSE_LEG]


async def test_feedback_on_nothing_is_told(rag: AsyncRAG) -> None:
    retriever = Feedback(inner=await _hybrid(rag), embedder=EMBEDDER)
    hits = await retriever.search("zebra", where='uri == "none"', explain=True)
    assert hits == []
    assert hits.explanation is not None
    assert hits.explanation.transformations[0].note == NOTHING_FOUND


@pytest.mark.parametrize("kind", SUB_QUERIES)
async def test_what_cannot_be_searched_for_is_left_out_and_that_is_told(
    rag: AsyncRAG, kind: SubQueryKind
) -> None:
    for written in ("?!", " ZEBRA\tstripes "):
        retriever = SubQueries(inner=await _hybrid(rag), kind=kind, llm=_writes(written))
        hits = await retriever.search("zebra stripes", explain=True)
        assert hits[0].chunk.uri in {"zebra", "copy"}
        assert hits.explanation is not None
        (own,) = hits.explanation.transformations
        assert (own.written, own.calls, own.note) == ((), 1, NOTHING_WRITTEN)
    hyde = HyDE(inner=await _hybrid(rag), llm=_writes("..."), embedder=EMBEDDER)
    hits = await hyde.search("zebra stripes", explain=True)
    assert hits.explanation is not None
    assert hits.explanation.transformations[0].note == NOTHING_WRITTEN
    assert hits.explanation.embedded == "zebra stripes"


@pytest.mark.parametrize("name", BY_LLM)
async def test_a_failing_model_is_an_error_and_no_silent_search(
    rag: AsyncRAG, name: TransformName
) -> None:
    def fails(_: ScriptedCall) -> str:
        raise ProviderError("No server answers.", provider="test")

    retriever = build_transform(name, await _hybrid(rag), llm=ScriptedLLM(fails), embedder=EMBEDDER)
    with pytest.raises(ProviderError, match="No server answers"):
        await retriever.search("zebra")


@pytest.mark.parametrize("name", BY_LLM)
async def test_a_transformation_without_its_model_names_the_setting(
    rag: AsyncRAG, name: TransformName
) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}'.*llm\.model.*RAGKIT_LLM__MODEL"):
        build_transform(name, await _hybrid(rag), llm=None, embedder=EMBEDDER)


async def test_an_unknown_transformation_is_named_with_those_known(rag: AsyncRAG) -> None:
    with pytest.raises(
        ConfigError, match=r"Unknown transformation 'magic'.*multi_query, hyde, step_back"
    ):
        build_transform("magic", await _hybrid(rag), llm=None, embedder=EMBEDDER)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", SUB_QUERIES)
async def test_a_prompt_can_be_replaced_and_the_number_of_texts_is_bounded(
    rag: AsyncRAG, kind: SubQueryKind
) -> None:
    llm = _writes("hoofed mammals", "tax", "lion")
    own = 'Three at most: {most}. {"queries": {"questions":'
    with pytest.raises(AssertionError, match="does not match its grammar"):
        await SubQueries(inner=await _hybrid(rag), kind=kind, llm=llm, most=2).search("zebra")
    field = "queries" if kind == "multi_query" else "questions"
    said = json.dumps({field: ["hoofed mammals", "tax", "lion"]}, separators=(",", ":"))
    given = ScriptedLLM([said])
    retriever = SubQueries(inner=await _hybrid(rag), kind=kind, llm=given, most=3, prompt=own)
    await retriever.search("zebra")
    system, user = given.calls[0].messages
    assert system.content == own.replace("{most}", "3")
    assert user.content == "Question: zebra"


async def test_prompts_have_their_stable_part_first(rag: AsyncRAG) -> None:
    llm = _writes("x1")
    for name in BY_LLM:
        retriever = build_transform(name, await _hybrid(rag), llm=llm, embedder=EMBEDDER)
        for question in ("zebra", "lion"):
            await retriever.search(question)
        first, second = llm.calls[-2:]
        assert first.messages[0] == second.messages[0]
        assert "{most}" not in first.messages[0].content
        assert "zebra" not in first.messages[0].content


async def test_unusable_queries_are_refused_before_a_model_is_asked(rag: AsyncRAG) -> None:
    llm = _writes("x")
    retriever = SubQueries(inner=await _hybrid(rag), kind="multi_query", llm=llm)
    with pytest.raises(InputError, match="empty"):
        await retriever.search("  ")
    assert llm.calls == []


async def test_filter_and_tenant_bind_every_query(rag: AsyncRAG) -> None:
    retriever = SubQueries(inner=await _hybrid(rag), kind="multi_query", llm=_writes("lion"))
    assert _uris(await retriever.search("zebra", where='uri == "lion"')) == ["lion"]
    assert await retriever.search("zebra", tenant="other") == []


async def _survives(llm: LLM, retriever: Retriever, legs: Sequence[Leg] = BOTH) -> None:
    hits = await retriever.search("Which animal has stripes?", legs=legs, explain=True)
    assert hits
    assert hits.explanation is not None
    (own,) = hits.explanation.transformations
    assert own.calls == 1
    assert own.usage.completion > 0
    assert own.written or own.note
    assert all(len(text) <= 800 for text in own.written)


@pytest.mark.parametrize("name", BY_LLM)
async def test_any_reply_that_the_grammar_allows_can_be_searched_for(
    rag: AsyncRAG, name: TransformName
) -> None:
    llm = ScriptedLLM(random_replies(5))
    retriever = build_transform(name, await _hybrid(rag), llm=llm, embedder=EMBEDDER)
    for _ in range(10):
        await _survives(llm, retriever)


async def test_a_random_model_on_a_real_server_transforms_queries(
    rag: AsyncRAG, vllm_server: VLLMServer
) -> None:
    async with VLLM(vllm_server.url) as llm:
        for name in BY_LLM:
            retriever = build_transform(name, await _hybrid(rag), llm=llm, embedder=EMBEDDER)
            await _survives(llm, retriever)
