"""The retriever that the settings ask for."""

from typing import get_args

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, Embedder, Index
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import TransformName
from ragkit.retrieval.diversity import Diverse
from ragkit.retrieval.feedback import Feedback
from ragkit.retrieval.neighbours import WithNeighbours
from ragkit.retrieval.protocol import Retriever

_NAMES = get_args(TransformName)


def transformed(
    name: TransformName, inner: Retriever, *, llm: LLM | None, embedder: Embedder
) -> Retriever:
    """The retriever behind the transformation of this name, with its defaults.

    Raises:
        ConfigError: There is no such transformation, or it needs a language model.
    """
    if name == "feedback":
        return Feedback(inner=inner, embedder=embedder)
    if name not in _NAMES:
        known = ", ".join(_NAMES)
        raise ConfigError(f"There is no transformation {name!r}; there are {known}.")
    if llm is None:
        raise ConfigError(
            f"The transformation {name!r} needs a language model, and none is set. Set llm.model "
            "(RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000, or --llm), or use 'feedback', which "
            "needs none."
        )
    # With the compiler of grammars: only where a model is asked.
    from ragkit.retrieval.rewriting import HyDE, SubQueries

    if name == "hyde":
        return HyDE(inner=inner, llm=llm, embedder=embedder)
    return SubQueries(inner=inner, kind=name, llm=llm)


def wrapped(
    retriever: Retriever,
    settings: RetrievalSettings,
    *,
    index: Index,
    embedder: Embedder,
    llm: LLM | None,
) -> Retriever:
    """A retriever with the transformation and the choices after retrieval that are set.

    Raises:
        ConfigError: A transformation needs a language model, and there is none.
    """
    if settings.transform is not None:
        retriever = transformed(settings.transform, retriever, llm=llm, embedder=embedder)
    if settings.mmr_lambda is not None:
        retriever = Diverse(
            inner=retriever,
            embedder=embedder,
            relevance_weight=settings.mmr_lambda,
            candidates=settings.mmr_candidates,
        )
    if settings.neighbours:
        retriever = WithNeighbours(inner=retriever, index=index, reach=settings.neighbours)
    return retriever
