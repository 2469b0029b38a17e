"""Building the retriever that the settings ask for."""

from typing import get_args

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, Embedder, Index, Reranker
from ragkit.core.settings import Settings
from ragkit.core.types import TransformName
from ragkit.retrieval.diversity import Diverse
from ragkit.retrieval.feedback import Feedback
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.neighbours import WithNeighbours
from ragkit.retrieval.protocol import Retriever

_TRANSFORMS = get_args(TransformName)


def build_retriever(
    settings: Settings,
    *,
    index: Index,
    embedder: Embedder,
    reranker: Reranker | None = None,
    llm: LLM | None = None,
) -> Retriever:
    """Build hybrid search with the transformation and the choices after it that are set.

    Chunks that have a window are read with it, whichever chunker the settings name.

    Raises:
        ConfigError: A transformation needs a language model, and none is given.
    """
    config = settings.retrieval
    retriever: Retriever = HybridRetriever(
        index=index,
        embedder=embedder,
        reranker=reranker,
        settings=config,
        rerank_depth=settings.reranker.depth,
    )
    if config.transform is not None:
        retriever = build_transform(config.transform, retriever, llm=llm, embedder=embedder)
    if config.mmr_lambda is not None:
        retriever = Diverse(
            inner=retriever,
            embedder=embedder,
            relevance_weight=config.mmr_lambda,
            candidates=config.mmr_candidates,
        )
    return WithNeighbours(inner=retriever, index=index, reach=config.neighbours)


def build_transform(
    name: TransformName, inner: Retriever, *, llm: LLM | None, embedder: Embedder
) -> Retriever:
    """Wrap a retriever in the transformation of this name, with its defaults.

    Raises:
        ConfigError: The name is unknown, or the transformation needs a language model.
    """
    if name == "feedback":
        return Feedback(inner=inner, embedder=embedder)
    if name not in _TRANSFORMS:
        raise ConfigError(
            f"Unknown transformation {name!r}. Fix: write one of {', '.join(_TRANSFORMS)}."
        )
    if llm is None:
        raise ConfigError(
            f"The transformation {name!r} needs a language model, and none is set. Fix: set "
            "llm.model (RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000, or --llm), or use "
            "'feedback', which needs none."
        )
    # Imports the compiler of grammars, which only transformations with a model need.
    from ragkit.retrieval.query_expansion import HyDE, SubQueries

    if name == "hyde":
        return HyDE(inner=inner, llm=llm, embedder=embedder)
    return SubQueries(inner=inner, kind=name, llm=llm)
