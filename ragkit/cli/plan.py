"""`ragkit plan`: GPUs, speed and cost of a model under a load, and the size of an index."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ragkit.cli import console
from ragkit.cli.options import Json, reporting
from ragkit.core.errors import InputError
from ragkit.core.settings import IndexSettings
from ragkit.planning.architecture import read_architecture
from ragkit.planning.deployment import Layout, ServingPlan, plan_serving
from ragkit.planning.gpu import GPUS, Gpu, find_gpu
from ragkit.planning.load import Load, Serving
from ragkit.planning.precision import CachePrecision, WeightPrecision
from ragkit.planning.report import LAYOUT_COLUMNS, layout_row, serving_facts, size_text
from ragkit.planning.vector_store import VectorStore, plan_vector_store

_DEFAULTS = Serving()

Model = Annotated[
    str | None, typer.Argument(help="A config.json, its folder, or the name of a known model.")
]
GpuName = Annotated[str | None, typer.Option("--gpu", help=f"One of {', '.join(GPUS)}.")]
Rate = Annotated[float, typer.Option("--rate", help="Requests per second.")]
Prompt = Annotated[int, typer.Option("--prompt", help="Tokens of a prompt.")]
Output = Annotated[int, typer.Option("--output", help="Tokens of a reply.")]
FirstToken = Annotated[
    float | None, typer.Option("--ttft", help="The longest time to the first token, in seconds.")
]
PerToken = Annotated[
    float | None, typer.Option("--tpot", help="The longest time per output token, in seconds.")
]
SharedPrefix = Annotated[
    float,
    typer.Option("--shared-prefix", help="Share of the prompt that all requests begin with."),
]
Weights = Annotated[WeightPrecision, typer.Option("--weights", help="Precision of the weights.")]
Cache = Annotated[CachePrecision, typer.Option("--kv-cache", help="Precision of the KV cache.")]
Price = Annotated[float | None, typer.Option("--price", help="Price of a GPU-hour.")]
Margin = Annotated[float, typer.Option("--margin", help="Share by which the load is exceeded.")]
Efficiency = Annotated[
    float, typer.Option("--efficiency", help="Share of the roofline that kernels reach.")
]
Utilisation = Annotated[
    float, typer.Option("--gpu-memory", help="Share of a GPU's memory that the server may use.")
]
MaxGpus = Annotated[int, typer.Option("--max-gpus", help="The most GPUs of one replica.")]
NodeGpus = Annotated[int, typer.Option("--node-gpus", help="GPUs of a machine.")]
Chunks = Annotated[int | None, typer.Option("--chunks", help="Chunks of an index in Qdrant.")]
Dimensions = Annotated[int, typer.Option("--dimensions", help="Of the embeddings.")]
SearchDimensions = Annotated[
    int | None,
    typer.Option("--search-dimensions", help="Of the searched prefix; by default 128 at most."),
]
Replicas = Annotated[int, typer.Option("--replicas", help="Copies of the index.")]
ChunkBytes = Annotated[int, typer.Option("--chunk-bytes", help="Payload of a chunk.")]
EmbedRate = Annotated[
    float | None, typer.Option("--embed-rate", help="Chunks embedded per second, as measured.")
]


@reporting
def plan(
    model: Model = None,
    *,
    gpu: GpuName = None,
    rate: Rate = 1.0,
    prompt: Prompt = 2000,
    output: Output = 300,
    ttft: FirstToken = None,
    tpot: PerToken = None,
    shared_prefix: SharedPrefix = 0.0,
    weights: Weights = "bf16",
    kv_cache: Cache = "bf16",
    price: Price = None,
    margin: Margin = _DEFAULTS.margin,
    efficiency: Efficiency = _DEFAULTS.efficiency,
    gpu_memory: Utilisation = _DEFAULTS.utilisation,
    max_gpus: MaxGpus = _DEFAULTS.max_gpus,
    node_gpus: NodeGpus = _DEFAULTS.node_gpus,
    chunks: Chunks = None,
    dimensions: Dimensions = 384,
    search_dimensions: SearchDimensions = None,
    replicas: Replicas = 1,
    chunk_bytes: ChunkBytes = 2000,
    embed_rate: EmbedRate = None,
    as_json: Json = False,
) -> None:
    """Compute what a model needs under a load, and an index of so many chunks.

    Nothing is downloaded and no GPU is used; docs/planning.md has every formula.
    """
    serving_plan: ServingPlan | None = None
    store: VectorStore | None = None
    if model is None and chunks is None:
        raise InputError(
            "Nothing to plan. Fix: ragkit plan MODEL --gpu GPU, or ragkit plan --chunks N."
        )
    load = Load(
        rate=rate,
        prompt=prompt,
        output=output,
        ttft_s=ttft,
        tpot_s=tpot,
        shared_prefix=shared_prefix,
    )
    serving = Serving(
        weights=weights,
        cache=kv_cache,
        utilisation=gpu_memory,
        efficiency=efficiency,
        margin=margin,
        max_gpus=max_gpus,
        node_gpus=node_gpus,
        price=price,
    )
    if model is not None:
        serving_plan = plan_serving(read_architecture(model), _chosen_gpu(gpu), load, serving)
    elif gpu is not None:
        raise InputError(f"--gpu {gpu} plans nothing without a model. Fix: ragkit plan MODEL.")
    if chunks is not None:
        store = plan_vector_store(
            chunks,
            dimensions=dimensions,
            search_dimensions=_searched(search_dimensions, dimensions),
            replicas=replicas,
            chunk_bytes=chunk_bytes,
            embed_rate=embed_rate,
        )
    if as_json:
        console.print_json({"serving": serving_plan, "vector_store": store})
    else:
        _show(serving_plan, store)


def _chosen_gpu(name: str | None) -> Gpu:
    if name is None:
        raise InputError(f"No GPU is named. Fix: --gpu with one of {', '.join(GPUS)}.")
    return find_gpu(name)


def _searched(given: int | None, dimensions: int) -> int:
    """Return the length of the searched prefix: as given, or as a new index has it by default."""
    usual = IndexSettings().search_dimensions or dimensions
    return min(usual, dimensions) if given is None else given


def _show(serving: ServingPlan | None, store: VectorStore | None) -> None:
    if serving is not None:
        _show_serving(serving)
    if store is not None:
        _show_store(store)


def _show_serving(found: ServingPlan) -> None:
    table = Table(title=f"{escape(found.model.name)} on {found.gpu}", title_justify="left")
    table.add_column("")
    table.add_column("", overflow="fold")
    for name, value in serving_facts(found):
        table.add_row(name, escape(value))
    console.out.print(table)
    _show_layouts((found.layout, *found.alternatives))
    console.out.print(f"vllm serve MODEL {' '.join(found.flags)}", markup=False, soft_wrap=True)
    for note in found.notes:
        console.out.print(f"[dim]{escape(note)}", soft_wrap=True)


def _show_layouts(layouts: tuple[Layout, ...]) -> None:
    table = Table(title="By precision (the first is planned)", title_justify="left")
    for name in LAYOUT_COLUMNS:
        table.add_column(name, justify="right")
    for one in layouts:
        table.add_row(*layout_row(one))
    console.out.print(table)


def _show_store(store: VectorStore) -> None:
    title = (
        f"Qdrant: {store.chunks} chunks, {store.dimensions} dimensions, "
        f"{store.search_dimensions} searched, replicas: {store.replicas}"
    )
    table = Table(title=title, title_justify="left")
    for name in ("quantization", "memory", "disk"):
        table.add_column(name, justify="right")
    for name, memory in store.memory.items():
        table.add_row(name, size_text(memory), size_text(store.disk[name]))
    console.out.print(table)
    if store.embed_s is not None:
        console.out.print(f"time to embed: {store.embed_s / 3600:.3g} hours")
