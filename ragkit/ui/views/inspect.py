"""Inspect: one query, every stage of the search side by side, under any setting."""

from dataclasses import replace
from typing import Final, get_args

import streamlit as st

from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk, DocumentRecord, TransformName
from ragkit.ingest.passage import passage_text
from ragkit.ui.answer_choices import document_labels
from ragkit.ui.board import (
    board_html,
    columns,
    final_column,
    letters,
    whereabouts,
    why_absent,
)
from ragkit.ui.document_text import Segment
from ragkit.ui.inspection import (
    Fusion,
    Inspected,
    SearchChoices,
    default_choices,
    rerankers,
    rows_of,
)
from ragkit.ui.markup import milliseconds, passage_html, table_html
from ragkit.ui.wording import counted, plain
from ragkit.ui.workspace import Workspace

_BOUND: Final = "query-params"
_DIMENSIONS = (32, 64, 96, 128, 192, 256, 384)
_NONE = "none"
_EXAMPLES = 3
_FUSIONS: dict[Fusion, str] = {"scores": "by scores", "rrf": "by reciprocal ranks (RRF)"}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    query = st.text_input(
        "Query", key="q", bind=_BOUND, placeholder="A question or some words", max_chars=500
    )
    with st.sidebar:
        compare = st.toggle("Two settings side by side", key="two", bind=_BOUND)
        if compare:
            first, second = st.tabs(["Setting A", "Setting B"])
            with first:
                a = _controls(workspace, "")
            with second:
                b = _controls(workspace, "b_")
        else:
            a, b = _controls(workspace, ""), None
        where = st.text_input("Only where", key="if", bind=_BOUND, placeholder="year >= 2020")
    st.caption(
        ":material/link: The address of this page holds the whole view: copy it to share it."
    )
    if not workspace.models.ended:
        st.info(
            "The models are being loaded; the search starts by itself.",
            icon=":material/hourglass_empty:",
        )
        return
    records = workspace.documents()
    if not query.strip():
        _show_hint(workspace, records)
        return
    a = _with_filter(a, where)
    inspector = workspace.inspector
    found = inspector.search(query, a, records=records)
    chosen = _chosen_document(records)
    if b is None:
        _show_board(found, a, chosen)
    else:
        b = _with_filter(b, where)
        _show_pair(found, inspector.search(query, b, records=records), a, b, chosen)
    if chosen is not None:
        deep = inspector.deep(query, a, records=records)
        _show_absence(workspace, found, deep, chosen, k=a.k)
    _show_passage(workspace, found)


def _controls(workspace: Workspace, prefix: str) -> SearchChoices:
    """Draw the controls of one setting, each kept in the page's address."""
    base = default_choices(workspace.settings)
    k = st.slider("Hits (k)", 1, 20, base.k, key=f"{prefix}k", bind=_BOUND)
    fusions: list[Fusion] = list(_FUSIONS)
    fusion = st.radio(
        "Fusion",
        fusions,
        index=fusions.index(base.fusion),
        format_func=_FUSIONS.__getitem__,
        key=f"{prefix}fusion",
        bind=_BOUND,
    )
    rrf_k = base.rrf_k
    if fusion == "rrf":
        rrf_k = st.slider("RRF's k", 1, 200, base.rrf_k, key=f"{prefix}rrf_k", bind=_BOUND)
    dense, bm25 = _weights(base, prefix)
    depth = st.slider("Depth of each leg", 5, 500, base.depth, 5, key=f"{prefix}depth", bind=_BOUND)
    dimensions = _dimensions(workspace, prefix)
    reranker, rerank_depth, rerank_weight = _reranking(workspace, base, prefix)
    diverse = st.toggle(
        "Diversify (MMR)", value=base.mmr_lambda is not None, key=f"{prefix}mmr", bind=_BOUND
    )
    mmr = None
    if diverse:
        mmr = st.slider(
            "Relevance against variety",
            0.0,
            1.0,
            _set_or(base.mmr_lambda, 0.7),
            0.05,
            key=f"{prefix}lambda",
            bind=_BOUND,
        )
    transforms: list[TransformName | None] = [None, *get_args(TransformName)]
    transform = st.selectbox(
        "Query transformation",
        transforms,
        index=transforms.index(base.transform),
        format_func=lambda name: name or _NONE,
        key=f"{prefix}transform",
        bind=_BOUND,
        help="All but feedback need a language model.",
    )
    return SearchChoices(
        k=k,
        depth=depth,
        fusion=fusion,
        rrf_k=rrf_k,
        dense_weight=dense,
        bm25_weight=bm25,
        dimensions=dimensions,
        reranker=reranker,
        rerank_depth=rerank_depth,
        rerank_weight=rerank_weight,
        mmr_lambda=mmr,
        transform=transform,
    )


def _weights(base: SearchChoices, prefix: str) -> tuple[float | None, float | None]:
    given = base.dense_weight is not None or base.bm25_weight is not None
    own = st.toggle(
        "Weights of my own",
        value=given,
        key=f"{prefix}weights",
        bind=_BOUND,
        help="Without, the weights are those that were fitted with the embedding model.",
    )
    if not own:
        return None, None
    dense = st.slider(
        "Weight of dense",
        0.0,
        4.0,
        _set_or(base.dense_weight, 1.0),
        0.1,
        key=f"{prefix}dense",
        bind=_BOUND,
    )
    bm25 = st.slider(
        "Weight of BM25",
        0.0,
        4.0,
        _set_or(base.bm25_weight, 1.0),
        0.1,
        key=f"{prefix}bm25",
        bind=_BOUND,
    )
    return dense, bm25


def _set_or(value: float | None, default: float) -> float:
    """Return a setting's value, which may be 0, or the default where it is not set."""
    return default if value is None else value


def _dimensions(workspace: Workspace, prefix: str) -> int | None:
    chosen = st.select_slider(
        "Matryoshka dimensions",
        ["index", *map(str, _DIMENSIONS)],
        key=f"{prefix}dims",
        bind=_BOUND,
        help="Ranks the dense candidates by the first dimensions of their vectors; 'index' leaves "
        "them as the index ranks them.",
    )
    return None if chosen == "index" else int(chosen)


def _reranking(
    workspace: Workspace, base: SearchChoices, prefix: str
) -> tuple[str, int, float | None]:
    names = [_NONE, *rerankers(workspace.settings)]
    reranker = st.selectbox(
        "Reranker",
        names,
        index=names.index(base.reranker or _NONE),
        key=f"{prefix}reranker",
        bind=_BOUND,
    )
    if reranker == _NONE:
        return "", base.rerank_depth, base.rerank_weight
    depth = st.slider(
        "Reranked candidates", 2, 100, base.rerank_depth, key=f"{prefix}rdepth", bind=_BOUND
    )
    own = st.toggle(
        "Its own share in the order",
        value=base.rerank_weight is None,
        key=f"{prefix}rown",
        bind=_BOUND,
    )
    if own:
        return reranker, depth, None
    share = st.slider(
        "Share of the reranker",
        0.0,
        1.0,
        _set_or(base.rerank_weight, 0.5),
        0.05,
        key=f"{prefix}rshare",
        bind=_BOUND,
    )
    return reranker, depth, share


def _with_filter(choices: SearchChoices, where: str) -> SearchChoices:
    return replace(choices, where=where)


def _show_hint(workspace: Workspace, records: list[DocumentRecord]) -> None:
    if not records:
        st.info("There is no document yet. Add some on the page Documents.", icon=":material/info:")
        return
    st.html(
        '<div class="rk-hero"><h1>See why</h1><p>Type a query: the dense and the BM25 leg, their '
        "fusion and the reranking appear side by side, and every control on the left changes them "
        "at once.</p></div>"
    )
    for place, question in enumerate(workspace.example_questions(_EXAMPLES)):
        st.button(plain(question), key=f"try-{place}", on_click=_set_query, args=(question,))


def _set_query(question: str) -> None:
    st.session_state["q"] = question


def _chosen_document(records: list[DocumentRecord]) -> str | None:
    labels = document_labels(records)
    return st.selectbox(
        "Why is this document not here?",
        list(labels),
        index=None,
        format_func=labels.__getitem__,
        placeholder="Choose a document to follow through the stages",
        key="why",
        bind=_BOUND,
    )


def _show_board(found: Inspected, choices: SearchChoices, chosen: str | None) -> None:
    shown = columns(found, rows=rows_of(choices))
    st.html(board_html(shown, found.chunks, chosen=chosen))
    _show_facts(found)


def _show_facts(found: Inspected) -> None:
    explanation = found.explanation
    times = " · ".join(
        f"{name} {milliseconds(taken)}" for name, taken in explanation.seconds.items()
    )
    st.caption(
        f"{plain(times)}. Letters name {counted(len(found.ids), 'hit')}, best first, in every "
        "column."
    )
    for made in explanation.transformations:
        written = "; ".join(made.written) or made.note
        st.caption(f":material/edit_note: {plain(f'{made.name}: {written}')}")
    with st.expander("The exact text that was embedded for this query"):
        st.code(explanation.embedded, language=None, wrap_lines=True)


def _show_pair(  # two settings with their searches
    found: Inspected,
    other: Inspected,
    a: SearchChoices,
    b: SearchChoices,
    chosen: str | None,
) -> None:
    """Show the results of two settings, with lines between them, then each in all its stages."""
    named = letters(list(dict.fromkeys([*found.ids, *other.ids])))
    pair = [final_column(found, "Setting A", named), final_column(other, "Setting B", named)]
    common = len(set(found.ids) & set(other.ids))
    st.markdown(f"**{common:,} of {max(len(found.ids), len(other.ids)):,} hits in common**")
    st.html(board_html(pair, {**other.chunks, **found.chunks}, chosen=chosen))
    stages_a, stages_b = st.tabs(["All stages of A", "All stages of B"])
    with stages_a:
        _show_board(found, a, chosen)
    with stages_b:
        _show_board(other, b, chosen)


def _show_absence(
    workspace: Workspace, found: Inspected, deep: Inspected, uri: str, *, k: int
) -> None:
    """Show where a document stands in every stage, searched as deep as it takes."""
    ids = [chunk.id for chunk in _chunks(workspace, uri)]
    st.markdown(why_absent(deep if not set(ids) & set(found.ids) else found, ids, k=k))
    rows = [
        (
            place.stage,
            "not found" if place.rank is None else str(place.rank),
            "" if place.score is None else f"{place.score:.4f}",
            str(place.candidates),
        )
        for place in whereabouts(deep.explanation, ids)
    ]
    head = ("stage", "best rank of its passages", "score", "candidates")
    st.html(table_html(head, rows, numbers=3))


def _chunks(workspace: Workspace, uri: str) -> list[Chunk]:
    async def read() -> list[Chunk]:
        index = await workspace.rag.index()
        return await index.chunks([uri], tenant=workspace.tenant)

    return run_sync(read)


def _show_passage(workspace: Workspace, found: Inspected) -> None:
    """Show one hit whole, with the text that was embedded of it and its place in every stage."""
    if not found.ids:
        st.info("No passage fits this query. Fix: use other words, or drop the filter.")
        return
    named = letters(found.ids)
    chosen = st.selectbox(
        "Read a hit",
        found.ids,
        format_func=lambda item: f"{named[item]} · {found.chunks[item].header}",
        key="hit",
    )
    chunk = found.chunks[chosen]
    text, embedded, places = st.tabs(["Passage", "Exact text embedded", "Place in every stage"])
    with text:
        others = "".join(f" · also in {uri}" for uri in found.repeated_in[chosen])
        st.caption(plain(f"{chunk.uri} · characters {chunk.start:,} to {chunk.end:,}{others}"))
        st.html(passage_html([Segment(text=chunk.text)]))
    with embedded:
        st.code(
            passage_text(chunk, workspace.rag.embedder.tokenizer), language=None, wrap_lines=True
        )
    with places:
        rows = [
            (place.stage, str(place.rank or "not found"), f"{place.score or 0:.4f}")
            for place in whereabouts(found.explanation, [chosen])
        ]
        st.html(table_html(("stage", "rank", "score"), rows, numbers=2))
