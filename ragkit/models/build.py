"""Building the embedder and the reranker that the settings name."""

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Embedder, Reranker
from ragkit.core.settings import EmbedderSettings, RerankerSettings
from ragkit.models.cross_encoder import PACKAGED_READER, packaged_cross_encoder
from ragkit.models.embedding import ModelEmbedder
from ragkit.models.late_chunking import LateEmbedder
from ragkit.models.minilm import MiniLMEncoder
from ragkit.models.packaged import packaged_model
from ragkit.models.reranking import CrossEncoderReranker, PackagedReranker
from ragkit.models.sentence_transformer import SentenceTransformerEncoder

_SENTENCE_TRANSFORMERS, _CROSS_ENCODER, _VLLM = "sentence-transformers", "cross-encoder", "vllm"


def check_embedder(settings: EmbedderSettings) -> tuple[str, str]:
    """Return the provider and the name of the embedder's model; nothing is loaded.

    Raises:
        ConfigError: The provider, or the packaged model, is unknown, or it knows no late chunking.
    """
    provider, _, name = settings.model.partition(":")
    if provider == _VLLM and settings.late_chunking:
        raise ConfigError(
            "embedder.late_chunking needs the vectors of tokens, which a server does not give. "
            "Fix: set it to false, or embedder.model to 'sentence-transformers:<folder or hub "
            "name>'."
        )
    packaged = provider == "packaged" and packaged_model(name)
    if packaged or (provider in {_SENTENCE_TRANSFORMERS, _VLLM} and name):
        return provider, name
    raise ConfigError(
        f"Unknown embedder {settings.model!r}. Fix: write 'packaged:all-minilm-l6-v2', "
        "'sentence-transformers:<folder or hub name>' or 'vllm:<URL>[#model]'."
    )


def check_reranker(settings: RerankerSettings) -> tuple[str, str]:
    """Return the provider and the name of the reranker's model, empty where there is none.

    Raises:
        ConfigError: The provider is unknown.
    """
    provider, _, name = (settings.model or "").partition(":")
    known = provider in {_CROSS_ENCODER, _VLLM} and name
    if not settings.model or settings.model == PACKAGED_READER or known:
        return provider, name
    raise ConfigError(
        f"Unknown reranker {settings.model!r}. Fix: write {PACKAGED_READER!r}, "
        "'cross-encoder:<folder or hub name>' or 'vllm:<URL>[#model]'."
    )


def build_embedder(settings: EmbedderSettings) -> Embedder:
    """Build the embedder of the settings; its model is loaded on first use.

    Raises:
        ConfigError: The provider, or the packaged model, is unknown.
    """
    provider, name = check_embedder(settings)
    if provider == _VLLM:
        from ragkit.models.server import VLLMEncoder  # with httpx, which the others do without

        return ModelEmbedder(settings, VLLMEncoder(name, settings))
    encoder = (
        SentenceTransformerEncoder(name, settings)
        if provider == _SENTENCE_TRANSFORMERS
        else MiniLMEncoder(settings)
    )
    return (LateEmbedder if settings.late_chunking else ModelEmbedder)(settings, encoder)


def build_reranker(settings: RerankerSettings) -> Reranker | None:
    """Build the reranker of the settings, or return None where `model` is empty.

    Raises:
        ConfigError: The provider is unknown.
    """
    provider, name = check_reranker(settings)
    if not settings.model:
        return None
    if provider == _VLLM:
        from ragkit.models.server import VLLMReranker  # with httpx

        return VLLMReranker(name, settings)
    if provider == _CROSS_ENCODER:
        return CrossEncoderReranker(name, batch_size=settings.batch_size, device=settings.device)
    return PackagedReranker(packaged_cross_encoder())
