"""Plan: GPUs, speed and cost of a model under a load, and the size of an index."""

import json
from typing import cast, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ragkit.core.errors import InputError
from ragkit.core.settings import IndexSettings
from ragkit.planning.architecture import Architecture, build_architecture, read_architecture
from ragkit.planning.curves import context_curve, cost_curve
from ragkit.planning.deployment import ServingPlan, plan_serving
from ragkit.planning.gpu import GPUS, Gpu
from ragkit.planning.load import Load, Serving
from ragkit.planning.model_config import parse_config
from ragkit.planning.model_table import MODELS
from ragkit.planning.precision import CachePrecision, WeightPrecision
from ragkit.planning.report import LAYOUT_COLUMNS, layout_row, serving_facts, size_text
from ragkit.planning.vector_store import plan_vector_store
from ragkit.ui.charts import context_chart, cost_chart
from ragkit.ui.markup import table_html
from ragkit.ui.session import show_error
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_OWN = "your own config.json"
_LONGEST_CONFIG = 2**20


def show(workspace: Workspace) -> None:
    """Draw the page."""
    model, index = st.tabs(["Model", "Index"])
    with model:
        try:
            _show_model()
        except InputError as error:  # the other tab is shown all the same
            show_error(workspace, "plan", error)
    with index:
        _show_index()


def _show_model() -> None:
    model, accelerator, price = st.columns(3)
    names = [*MODELS, _OWN]
    name = model.selectbox("Model", names, index=names.index("llama-3.1-8b"))
    gpu = GPUS[accelerator.selectbox("GPU", list(GPUS), index=list(GPUS).index("H100"))]
    paid = price.number_input("Price of a GPU-hour", 0.001, value=None)
    file = st.file_uploader("config.json", type="json") if name == _OWN else None
    sizes = st.container()
    more = st.expander("Objectives, precisions and margins")
    load, serving = _load(sizes, more), _serving(more, paid)
    if name == _OWN and file is None:
        st.info("Choose the config.json of the model.", icon=":material/upload_file:")
        return
    chosen = read_architecture(name) if file is None else own_model(file.name, file.getvalue())
    found = plan_serving(chosen, gpu, load, serving)
    _show_figures(found)
    _show_curves(found, chosen, gpu, load, serving)
    _show_facts(found)


def _load(sizes: DeltaGenerator, more: DeltaGenerator) -> Load:
    first, second, third = sizes.columns(3)
    rate = first.number_input("Requests per second", 0.001, 1e6, 1.0, format="%.3g")
    prompt = second.number_input("Tokens of a prompt", 1, 10_000_000, 2000, step=100)
    output = third.number_input("Tokens of a reply", 1, 10_000_000, 300, step=50)
    first, second, third = more.columns(3)
    ttft = first.number_input("Longest time to the first token (s)", 0.001, value=None)
    tpot = second.number_input(
        "Longest time per output token (s)", 0.0001, value=None, format="%.3g"
    )
    shared = third.slider("Share of the prompt that all begin with", 0.0, 0.99, 0.0)
    return Load(
        rate=rate, prompt=prompt, output=output, shared_prefix=shared, ttft_s=ttft, tpot_s=tpot
    )


def _serving(more: DeltaGenerator, price: float | None) -> Serving:
    usual = Serving()
    first, second, third = more.columns(3)
    precisions: tuple[WeightPrecision, ...] = get_args(WeightPrecision)
    weights = first.selectbox("Weights", precisions)
    caches: tuple[CachePrecision, ...] = get_args(CachePrecision)
    cache = second.selectbox("KV cache", caches)
    most = third.number_input("Most GPUs of a replica", 1, 1024, usual.max_gpus)
    margin = first.slider("Margin over the load", 0.0, 2.0, usual.margin)
    efficiency = second.slider("Share of the roofline reached", 0.05, 1.0, usual.efficiency)
    utilisation = third.slider("Share of the memory used", 0.1, 1.0, usual.utilisation)
    return Serving(
        weights=weights,
        cache=cache,
        price=price,
        margin=margin,
        efficiency=efficiency,
        utilisation=utilisation,
        max_gpus=most,
    )


def own_model(name: str, data: bytes) -> Architecture:
    """Return the architecture that an uploaded config.json describes.

    Raises:
        InputError: It is no such file, or its kind of model is not known.
    """
    if len(data) > _LONGEST_CONFIG:
        raise InputError(f"{name!r} has {len(data):,} bytes. Fix: choose a model's config.json.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name!r} is no JSON: {error}. Fix: choose a config.json.") from error
    if not isinstance(value, dict):
        raise InputError(f"{name!r} is not a JSON object. Fix: choose a model's config.json.")
    config = parse_config(cast("dict[str, object]", value), source=name)
    return build_architecture(name.removesuffix(".json"), config)


def _show_figures(found: ServingPlan) -> None:
    gpus, first, token, cost = st.columns(4)
    gpus.metric("GPUs", plain(f"{found.layout.gpus} x {found.gpu}"))
    first.metric("To the first token", f"{found.expected.ttft_s:.3g} s")
    token.metric("Per output token", f"{found.expected.tpot_s * 1000:.3g} ms")
    price = found.cost.per_million_tokens
    hours = found.cost.gpu_hours_per_million_tokens
    if price is None:
        cost.metric("GPU-hours per million tokens", f"{hours:.3g}")
    else:
        cost.metric("Price per million tokens", f"{price:.3g}")


def _show_curves(
    found: ServingPlan, model: Architecture, gpu: Gpu, load: Load, serving: Serving
) -> None:
    left, right = st.columns(2)
    contexts = context_curve(model, gpu, found.layout, serving)
    left.altair_chart(context_chart(contexts), width="stretch")
    right.altair_chart(cost_chart(cost_curve(model, gpu, load, serving)), width="stretch")


def _show_facts(found: ServingPlan) -> None:
    st.code(f"vllm serve MODEL {' '.join(found.flags)}", language="sh", wrap_lines=True)
    for note in found.notes:
        st.caption(plain(note))
    st.html(table_html((found.model.name, f"on {found.gpu}"), serving_facts(found)))
    st.caption("By precision; the first is planned.")
    layouts = [layout_row(one) for one in (found.layout, *found.alternatives)]
    st.html(table_html(LAYOUT_COLUMNS, layouts, numbers=4))


def _show_index() -> None:
    first, second = st.columns(2)
    with first:
        chunks = st.number_input("Chunks", 1, 10**12, 1_000_000, step=100_000)
        dimensions = st.number_input("Dimensions of the embeddings", 1, 65_536, 384)
        usual = min(IndexSettings().search_dimensions or dimensions, dimensions)
        searched = st.number_input("Dimensions of the searched prefix", 1, dimensions, usual)
    with second:
        replicas = st.number_input("Replicas", 1, 100, 1)
        size = st.number_input("Bytes of a chunk's text and metadata", 1, 10**7, 2000, step=100)
        rate = st.number_input("Chunks embedded per second, as measured", 0.001, value=None)
    store = plan_vector_store(
        chunks,
        dimensions=dimensions,
        search_dimensions=searched,
        replicas=replicas,
        chunk_bytes=size,
        embed_rate=rate,
    )
    rows = [
        (name, size_text(memory), size_text(store.disk[name]))
        for name, memory in store.memory.items()
    ]
    st.html(table_html(("quantization", "memory", "disk"), rows, numbers=2))
    if store.embed_s is not None:
        st.caption(f"Time to embed: {store.embed_s / 3600:.3g} hours")
