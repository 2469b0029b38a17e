from dataclasses import replace

import pytest

from ragkit import Document
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk
from ragkit.ui.board import board_html, columns, final_column, letters, whereabouts, why_absent
from ragkit.ui.chunk_map import chunks_html, mapped_chunks
from ragkit.ui.document_text import indexed_document, load_document
from ragkit.ui.inspection import Inspected, SearchChoices, default_choices, search_settings
from ragkit.ui.workspace import Workspace

QUERY = "How long do refunds take?"


def search(workspace: Workspace, choices: SearchChoices) -> Inspected:
    """Search for QUERY in the documents as they are now."""
    return workspace.inspector.search(QUERY, choices, records=workspace.documents())


def test_every_stage_is_a_column_and_hits_have_the_same_letter_in_all(
    workspace: Workspace,
) -> None:
    found = search(workspace, SearchChoices(k=2))
    shown = columns(found, rows=5)
    assert [column.label for column in shown] == ["Dense", "BM25", "Fused", "Reranked"]
    assert shown[3].placed == ()
    fused = {item.id: item for item in shown[2].placed}
    for column in shown[:2]:
        for item in column.placed:
            assert item.letter == letters(found.ids).get(item.id, "")
            if item.id in fused:
                assert f"{column.label} {item.rank}" in fused[item.id].origin


def test_weights_move_ranks_at_once(workspace: Workspace) -> None:
    choices = SearchChoices(k=3, dense_weight=1.0, bm25_weight=0.0)
    dense = search(workspace, choices)
    assert list(dense.ids) == [item for item, _, _ in dense.explanation.stages["dense"]][:3]
    reverse = replace(choices, dense_weight=0.0, bm25_weight=1.0)
    lexical = search(workspace, reverse)
    assert lexical.ids[0] == lexical.explanation.stages["bm25"][0][0]


def test_a_search_is_run_once_until_documents_change(workspace: Workspace) -> None:
    first = search(workspace, SearchChoices())
    assert search(workspace, SearchChoices()) is first
    run_sync(lambda: workspace.rag.ingest(Document.from_text("Refunds.", uri="new.txt")))
    assert search(workspace, SearchChoices()) is not first


def test_what_another_writer_deletes_or_adds_is_seen_at_once(workspace: Workspace) -> None:
    search(workspace, SearchChoices())
    before = workspace.revision
    run_sync(lambda: workspace.rag.delete(["shop/refunds.md"]))
    run_sync(lambda: workspace.rag.ingest(Document.from_text("Late refunds.", uri="new.txt")))
    assert workspace.revision == before
    found = search(workspace, SearchChoices())
    uris = {found.chunks[item].uri for item in found.ids}
    assert uris == {"shop/delivery.txt", "museum.txt", "new.txt"}


def test_dimensions_rank_the_dense_candidates_by_a_prefix(workspace: Workspace) -> None:
    whole = search(workspace, SearchChoices(dimensions=64))
    short = search(workspace, SearchChoices(dimensions=2))
    full = search(workspace, SearchChoices())

    def scores(found: Inspected) -> list[float]:
        return [round(score, 3) for _, _, score in found.explanation.stages["dense"]]

    assert scores(whole) == pytest.approx(scores(full), abs=0.02)
    assert scores(short) != scores(whole)


def test_choices_become_settings_and_nothing_else_changes(workspace: Workspace) -> None:
    choices = replace(
        default_choices(workspace.settings), k=9, fusion="rrf", rrf_k=7, reranker="cross-encoder:x"
    )
    made = search_settings(workspace.settings, choices)
    assert (made.retrieval.k, made.retrieval.fusion, made.retrieval.rrf_k) == (9, "rrf", 7)
    assert made.reranker.model == "cross-encoder:x"
    plain = search_settings(workspace.settings, default_choices(workspace.settings))
    assert plain == workspace.settings


def test_a_document_is_followed_through_the_stages(workspace: Workspace) -> None:
    choices = SearchChoices(k=1)
    found = search(workspace, choices)
    deep = workspace.inspector.deep(QUERY, choices, records=workspace.documents())
    museum = [chunk.id for chunk in load_document(workspace, "museum.txt").chunks]
    refunds = [chunk.id for chunk in load_document(workspace, "shop/refunds.md").chunks]
    assert why_absent(found, refunds, k=1) == "It is here: hit 1."
    assert why_absent(deep, museum, k=1).startswith(("Its best passage ends at rank", "No passage"))
    places = {place.stage: place for place in whereabouts(deep.explanation, museum)}
    assert places["BM25"].rank is None
    assert places["Dense"].rank in {2, 3}
    assert places["Dense"].score is not None


def test_a_filter_that_leaves_a_document_out_is_said(workspace: Workspace) -> None:
    choices = SearchChoices(where='uri == "museum.txt"')
    found = search(workspace, choices)
    refunds = [chunk.id for chunk in load_document(workspace, "shop/refunds.md").chunks]
    assert "the filter leaves it out" in why_absent(found, refunds, k=5)


def test_a_transformation_that_needs_a_model_says_how_to_get_one(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="needs a language model"):
        search(workspace, SearchChoices(transform="hyde"))
    with pytest.raises(InputError):
        search(workspace, SearchChoices(where="nonsense"))


def test_the_board_shows_markup_of_documents_as_text(workspace: Workspace) -> None:
    found = search(workspace, SearchChoices())
    html = board_html(columns(found, rows=5), found.chunks, chosen="shop/refunds.md")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "rk-chosen" in html
    assert html.count("<section") == 4


def test_two_settings_share_their_letters(workspace: Workspace) -> None:
    found = search(workspace, SearchChoices(k=3))
    named = letters(found.ids)
    column = final_column(found, "Setting A", named)
    assert [item.letter for item in column.placed] == ["A", "B", "C"][: len(column.placed)]
    assert len(set(letters([str(number) for number in range(60)]).values())) == 60


def test_chunks_are_shown_in_place_with_what_they_share() -> None:
    def chunk(start: int, end: int, text: str) -> Chunk:
        return Chunk(id=str(start), uri="d", title="D", text=text, start=start, end=end, page=1)

    document = indexed_document("d", [chunk(0, 6, "ab<b>c"), chunk(4, 9, ">cdef")])
    assert [mapped.shared for mapped in mapped_chunks(document)] == [0, 2]
    html = chunks_html(document)
    assert '<span class="rk-shared">&gt;c</span>def' in html
    assert "<b>c" not in html
